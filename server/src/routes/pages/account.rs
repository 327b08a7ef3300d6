//! `/account`: what the wallet that is signed in has here, and ending its sessions by a form.

use std::sync::Arc;

use app::account::{self, Account, AgentRow, Agents, BalanceRow, OrderRow, SessionRow};
use axum::extract::{Request, State};
use axum::response::Response;
use domain::order::OrderView;
use domain::wallet::{self, Conversation, Membership};
use identity::{Session, SessionId};
use types::MicroUsd;

use super::super::fault::Fault;
use super::super::problem::{self, Shape};
use super::super::shared::moment;
use super::super::{App, sentences};
use super::signin::{see, signed_out};
use super::{Reader, form};

const PATH: &str = "/account";

/// `GET /account`
pub(crate) async fn page(State(app): State<Arc<App>>, reader: Reader) -> Response {
    let Some(session) = reader.session() else {
        return reader.show_private(account::unsigned(reader.visit()));
    };
    match read(&app, session).await {
        Ok(account) => reader.show_private(account::page(reader.visit(), account)),
        Err(error) => super::trouble(&reader, problem::of(Fault::Unexpected(error), reader.asked())),
    }
}

/// `POST /account/sessions`: ends one session of the wallet, or all.
pub(crate) async fn end_sessions(State(app): State<Arc<App>>, reader: Reader, request: Request) -> Response {
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    let Some(session) = reader.session() else {
        // Over since the page was shown: there is nothing left to end.
        return signed_out(&app, PATH);
    };
    let sessions = &app.sign_in.sessions;
    let end = form.field("end");
    let id = end.parse().ok().map(SessionId);
    let ended = match id {
        _ if end == "all" => sessions.revoke_all(session.wallet).await.map(|()| true),
        Some(id) => sessions.revoke(session.wallet, id).await,
        None => Ok(false),
    };
    match ended {
        Ok(true) if end == "all" || id == Some(session.id) => signed_out(&app, PATH),
        Ok(true) => see("/account#sessions"),
        Ok(false) => super::trouble(&reader, Shape::not_found(sentences::NO_SUCH_SESSION)),
        Err(error) => super::trouble(&reader, problem::of(Fault::Unexpected(error.into()), reader.asked())),
    }
}

async fn read(app: &App, session: &Session) -> anyhow::Result<Account> {
    let (ctx, wallet) = (&app.ctx, session.wallet);
    let now = ctx.clock.now();
    let mut balances: Vec<_> = wallet::memberships(ctx, wallet).await?.into_iter().map(membership).collect();
    balances.extend(wallet::developer(ctx, wallet).await?.map(|balance| BalanceRow {
        name: "Your developer account".to_owned(),
        standing: "What your API keys spend from".to_owned(),
        more: Some(("/developers/account", "Usage and keys")),
        available: MicroUsd(balance.available),
        held: MicroUsd(balance.held),
        owed: MicroUsd(balance.owed),
    }));
    let known = wallet::conversations(ctx, wallet).await?;
    let agents = if known.is_empty() {
        Agents::ToMeet(wallet::to_meet(ctx).await?.into_iter().map(agent).collect())
    } else {
        Agents::Known(known.into_iter().map(agent).collect())
    };
    let administers = domain::community::administered_by(ctx, wallet).await?;
    let sessions = app.sign_in.sessions.list(wallet).await?;
    Ok(Account {
        wallet,
        balances,
        read_at: moment(now),
        agents,
        orders: wallet::orders(ctx, wallet).await?.into_iter().map(order).collect(),
        sessions: sessions
            .into_iter()
            .map(|row| SessionRow {
                is_this: row.id == session.id,
                id: row.id.to_string(),
                label: row.label,
                origin: row.origin,
                since: moment(row.created_at),
                until: moment(row.expires_at),
            })
            .collect(),
        administers: administers.into_iter().map(|community| (community.slug, community.name)).collect(),
    })
}

fn membership(membership: Membership) -> BalanceRow {
    let Membership { community, tier, balance } = membership;
    BalanceRow {
        name: community.name,
        standing: format!("Tier {} of 9", tier.number()),
        more: None,
        available: MicroUsd(balance.available),
        held: MicroUsd(balance.held),
        owed: MicroUsd(balance.owed),
    }
}

fn agent(conversation: Conversation) -> AgentRow {
    let Conversation { slug, token_id, name, collection, last_at } = conversation;
    AgentRow {
        path: format!("/chat/{slug}/{token_id}"),
        name,
        token: format!("{collection} #{token_id}"),
        last: last_at.map(moment),
    }
}

fn order(order: OrderView) -> OrderRow {
    OrderRow {
        path: format!("/checkout/{}", order.id),
        pack: order.pack,
        price: format!("{} {}", order.price_amount, order.price_currency.to_uppercase()),
        status: order.text,
        at: moment(order.created_at),
    }
}
