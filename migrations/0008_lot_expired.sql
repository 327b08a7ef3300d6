-- What a lot lost to its expiry. A refund takes back what a lot still was or what was spent of it; what expired unspent is
-- gone already, and to take it again would charge its owner for credits that nobody used.

alter table lot add column expired bigint not null default 0;

update lot set expired = lost.amount
from (select community_id, ref, sum(amount)::bigint as amount from journal where kind = 3 group by community_id, ref) lost
where lot.community_id = lost.community_id and lot.id = lost.ref;

alter table lot add constraint lot_expired_bounds check (expired between 0 and minted);
