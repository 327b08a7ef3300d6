//! `/docs/administer`: how a community is looked after: who may, what the figures mean, repairs, and proof of the books.

use leptos::prelude::*;

use crate::parts::code;
use crate::shell::{self, Head, Visit};

/// The guide.
#[must_use]
pub fn administer(visit: &Visit) -> String {
    let head = Head::new(
        "Administering",
        "How administrators look after a community: spend and caps, routing decisions, repairs of payments, and an audit \
         trail that proves itself offline.",
    );
    let url = &visit.public_url;
    let body = view! {
        <div class="docs">
            <header>
                <h1>"Looking after a community"</h1>
                <p class="lead">"What it spends and on whom, what it may spend, why a request went where, and books that anybody can check."</p>
            </header>
            <nav class="contents" aria-labelledby="contents">
                <h2 id="contents">"On this page"</h2>
                <ul>
                    <li><a href="#who">"Who administers"</a></li>
                    <li><a href="#figures">"What the figures mean"</a></li>
                    <li><a href="#caps">"Caps"</a></li>
                    <li><a href="#routing">"Routing decisions"</a></li>
                    <li><a href="#repairs">"Payments and repairs"</a></li>
                    <li><a href="#audit">"The audit trail"</a></li>
                    <li><a href="#api">"By API"</a></li>
                </ul>
                <h2>"Reference"</h2>
                <ul>
                    <li><a href="/admin">"Your communities"</a></li>
                    <li><a href="/docs/api/admin">"Operations for administrators"</a></li>
                </ul>
            </nav>
            <article class="text">
                {who()}
                {figures()}
                {deeds()}
                {proof(url)}
            </article>
        </div>
    };
    shell::page(visit, head, body)
}

fn who() -> impl IntoView {
    view! {
        <h2 id="who">"Who administers"</h2>
        <p>"Administrators are wallets. A developer who signs up with a wallet looks after the community that the sign-up made; further wallets are added under Settings, asked for twice and with a reason, as a "<a href="#repairs">"repair of money"</a>" is. Sign in, and "<a href="/admin">"your communities"</a>" lists those that are yours. Somebody else\u{2019}s is simply not there. The last administrator cannot be taken away; where one of two has lost their wallet, the operator says "<code>"freeside admins remove"</code>". A wallet that is a contract is one on its own chain alone: add it with the chain, "<code>"eip155:8453:0x\u{2026}"</code>", as its account page shows it."</p>
        <p>"Everything that an administrator changes stands in the record: when, who, what, and the reason that they gave. The record only grows."</p>
    }
}

fn figures() -> impl IntoView {
    view! {
        <h2 id="figures">"What the figures mean"</h2>
        <p>"All figures are read live, and each page says when. Days are UTC days; amounts are exact to the micro-dollar. Sums by day, by pool and by user come from the same lines of the journal, so they are always the same sum."</p>
        <p><strong>"Lasts until"</strong>" is a range. Its ends are the paces of the last 7 and of the last 28 whole days; a younger community is measured over its own days, and below a week the page says that it is a first guess. Credits are used up by the earliest expiry, and count as gone on the day on which they expire."</p>
        <p><strong>"Set aside"</strong>" is money of answers in progress. What an answer does not need comes back when it ends."</p>
        <h2 id="caps">"Caps"</h2>
        <p>"A hard cap bounds what is spent and set aside in a UTC month, by the whole community or by one account. Over it, new requests are refused with 402 before anything is set aside; answers in progress go on. The soft cap is four fifths of it: from there on the pages and the API warn. A cap that is lowered below what is spent refuses until the month ends."</p>
        <h2 id="routing">"Routing decisions"</h2>
        <p>"Each answered request is kept with what was asked for, which pool and model answered, why, and what it cost. A pool above the asker\u{2019}s tier is never reached: the tier\u{2019}s usual pool answers, and the reason says so. Where nothing was asked for, an agent\u{2019}s affinities choose among the pools that the tier allows."</p>
    }
}

fn deeds() -> impl IntoView {
    view! {
        <h2 id="repairs">"Payments and repairs"</h2>
        <p>"Payments credit themselves when the processor\u{2019}s notice comes, and are asked about when it does not. A payment hangs when its money was seen half an hour ago and nothing was credited. Reconciling it asks the processor and applies the answer as its notice would be: what is credited follows from the order, and a second time changes nothing."</p>
        <p>"What no rule can decide waits under Reviews: an order that was paid twice can be credited or dismissed, anything else dismissed once it is dealt with. Credits that no payment processor confirmed are the operator\u{2019}s alone: an administrator asks for them, and the operator of the server approves or declines. So it is with every item about an order that you bought yourself. The page shows what waits and what was decided; "<code>"GET /api/v1/admin/approvals"</code>" has the same."</p>
        <p>"A repair of money is asked for twice, with a reason. A key with the scope "<code>"admin"</code>" may ask; only a wallet confirms. It wants a signature of the last five minutes, so sign in again first if yours is older. Where a community has two administrators or more, one asks and another approves within a day; neither can do both."</p>
    }
}

fn proof(url: &str) -> impl IntoView + use<> {
    let fetch = format!(
        "curl -H 'authorization: Bearer YOUR_ADMIN_KEY' \\\n  '{url}/api/v1/admin/community/COMMUNITY/audit?format=jsonl' > audit.jsonl\ncurl {url}/.well-known/jwks.json > jwks.json\nfreeside audit verify audit.jsonl --jwks jwks.json"
    );
    view! {
        <h2 id="audit">"The audit trail"</h2>
        <p>"The ledger\u{2019}s lines can be downloaded, all or those of some days, as JSONL or as a spreadsheet. Each line\u{2019}s hash covers the line before it, the file opens with the hash it continues and closes with a signature. Verifying needs nothing but the file:"</p>
        {code("Offline, on any machine", "freeside audit verify audit.jsonl")}
        <p>"It names the first line that was changed, dropped or added. A download that is filtered by pool or account cannot be a chain and says so in its first line; it is signed as a whole all the same. The files hold wallet addresses and no other personal data."</p>
        <h2 id="api">"By API"</h2>
        <p>"All of it is open to programs: by a wallet\u{2019}s session, or by a key with the scope "<code>"admin"</code>", which an operator makes with "<code>"freeside admin-key"</code>"."</p>
        {code("Fetch and verify", &fetch)}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    #[test]
    fn every_place_in_the_contents_is_there() {
        let page = administer(&visit("/docs/administer"));
        for piece in page.split("href=\"#").skip(1) {
            let id = piece.split('"').next().expect("closed");
            assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
        }
        assert!(page.contains("http://localhost:3000/api/v1/admin/community/COMMUNITY/audit"));
    }
}
