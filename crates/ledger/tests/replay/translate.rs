//! Between the ledger's words and the model's, which share no type.

use ledger::{Answer, HoldState, Op, Refusal};
use time::OffsetDateTime;

use crate::model::{Deed, End, Month, Reply, Why};

pub(crate) fn micros(at: OffsetDateTime) -> i128 {
    at.unix_timestamp_nanos() / 1_000
}

pub(crate) fn month(at: OffsetDateTime) -> Month {
    (at.year(), u8::from(at.month()))
}

pub(crate) fn deed(op: &Op) -> Deed {
    match op {
        Op::Hold(hold) => {
            Deed::Hold { id: hold.id.0.as_u128(), amount: hold.amount.into(), input: hold.input_hash }
        }
        Op::Extend { id, to, .. } => Deed::Extend { id: id.0.as_u128(), to: (*to).into() },
        Op::Settle { id, charge, .. } => {
            Deed::Settle { id: id.0.as_u128(), amount: charge.amount.into(), pool: charge.pool }
        }
        Op::Release { id, .. } => Deed::Release { id: id.0.as_u128() },
        Op::Orphan { id, .. } => Deed::Orphan { id: id.0.as_u128() },
        Op::Mint { id, source, amount, expires_at, .. } => Deed::Mint {
            id: id.0.as_u128(),
            source: *source as i16,
            amount: (*amount).into(),
            expires: micros(*expires_at),
        },
        Op::Expire { .. } => Deed::Expire,
        Op::Reverse { lot, .. } => Deed::Reverse { id: lot.0.as_u128() },
    }
}

pub(crate) fn reply(answer: &Result<Answer, Refusal>) -> Reply {
    let refusal = match answer {
        Ok(Answer::Held { amount, available }) => {
            return Reply::Held { amount: (*amount).into(), available: (*available).into() };
        }
        Ok(Answer::Extended { amount }) => return Reply::Extended { amount: (*amount).into() },
        Ok(Answer::Settled { charged, owed }) => {
            return Reply::Settled { charged: (*charged).into(), owed: (*owed).into() };
        }
        Ok(Answer::Released) => return Reply::Released,
        Ok(Answer::Orphaned) => return Reply::Orphaned,
        Ok(Answer::Minted) => return Reply::Minted,
        Ok(Answer::Expired { amount }) => return Reply::Expired { amount: (*amount).into() },
        Ok(Answer::Reversed { taken, owed }) => {
            return Reply::Reversed { taken: (*taken).into(), owed: (*owed).into() };
        }
        Err(refusal) => refusal,
    };
    Reply::No(match *refusal {
        Refusal::NoAccount => Why::NoAccount,
        Refusal::NoHold => Why::NoHold,
        Refusal::NoLot => Why::NoLot,
        Refusal::NotEnough { available } => Why::NotEnough { available: available.into() },
        Refusal::OverCap { limit, used } => Why::OverCap { limit: limit.into(), used: used.into() },
        Refusal::Owing { owed } => Why::Owing { owed: owed.into() },
        Refusal::Frozen => Why::Frozen,
        Refusal::Conflict => Why::Conflict,
        Refusal::BadAmount => Why::BadAmount,
        Refusal::MintingStopped => panic!("no run stops minting"),
        Refusal::Closed(state) => Why::Closed(match state {
            HoldState::Open => End::Open,
            HoldState::Settled { charged } => End::Settled(charged.into()),
            HoldState::Released => End::Released,
            HoldState::Orphaned => End::Orphaned,
        }),
    })
}
