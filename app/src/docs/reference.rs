//! The reference: all operations on one page, and a page for each group with every field.

use std::collections::BTreeSet;

use leptos::prelude::*;
use serde_json::Value;

use super::document::{self, Field, Group, Kind, Operation};
use crate::parts::prose;
use crate::shell::{self, Head, Visit};

/// `/docs/api`: every operation in a line.
#[must_use]
pub fn api(visit: &Visit, document: &Value) -> String {
    let head = Head::new(
        "API reference",
        "Every operation of Freeside's API: inference in three dialects, keys, usage, payments, administration and health.",
    );
    let groups = document::groups(document);
    let lists: Vec<_> = groups
        .iter()
        .map(|group| {
            let operations: Vec<_> = document::operations(document, &group.name)
                .into_iter()
                .map(|one| line(group, &one))
                .collect();
            let address = format!("/docs/api/{}", group.name);
            view! {
                <h2><a href=address>{group.title.clone()}</a></h2>
                <ul class="operations">{operations}</ul>
            }
        })
        .collect();
    let body = view! {
        <div class="docs">
            <header>
                <h1>"API reference"</h1>
                <p class="lead">"Rendered from "<a href="/openapi.json">"the OpenAPI 3.1 document"</a>", which your tools can read too."</p>
            </header>
            {contents(&groups, "")}
            <article class="text">{lists}</article>
        </div>
    };
    shell::page(visit, head, body)
}

/// The names of the groups, each of which has a page.
#[must_use]
pub fn group_names(document: &Value) -> Vec<String> {
    document::groups(document).into_iter().map(|group| group.name).collect()
}

/// `/docs/api/{group}`: every field of a group's operations; `None` when there is no such group.
#[must_use]
pub fn group(visit: &Visit, document: &Value, name: &str) -> Option<String> {
    let groups = document::groups(document);
    let group = groups.iter().find(|group| group.name == name)?.clone();
    let operations = document::operations(document, name);
    let mut shapes = BTreeSet::new();
    for operation in &operations {
        document::shapes_of(document, operation.value, &mut shapes);
    }
    let head = Head::new(
        format!("API: {}", group.title),
        format!(
            "{}: every operation, parameter, field and answer of this part of Freeside's API.",
            group.title
        ),
    );
    let lines: Vec<_> = operations.iter().map(|one| line(&group, one)).collect();
    let details: Vec<_> = operations.iter().map(detail).collect();
    let shapes: Vec<_> = shapes.iter().map(|name| shape(name, document::shape(document, name))).collect();
    let body = view! {
        <div class="docs">
            <header>
                <p class="eyebrow"><a href="/docs/api">"API reference"</a></p>
                <h1>{group.title.clone()}</h1>
            </header>
            {contents(&groups, name)}
            <article>
                <ul class="operations">{lines}</ul>
                {details}
                <section class="operation" aria-labelledby="shapes">
                    <h2 id="shapes">"Shapes"</h2>
                    {shapes}
                </section>
            </article>
        </div>
    };
    Some(shell::page(visit, head, body))
}

fn contents(groups: &[Group], current: &str) -> impl IntoView + use<> {
    let items: Vec<_> = groups
        .iter()
        .map(|group| {
            let address = format!("/docs/api/{}", group.name);
            let here = (group.name == current).then_some("page");
            view! { <li><a href=address aria-current=here>{group.title.clone()}</a></li> }
        })
        .collect();
    view! {
        <nav class="contents" aria-labelledby="contents">
            <h2 id="contents">"Parts of the API"</h2>
            <ul>{items}</ul>
        </nav>
    }
}

fn verb(method: &str) -> impl IntoView + use<> {
    let class = format!("verb {}", method.to_lowercase());
    view! { <span class=class>{method.to_owned()}</span> }
}

fn line(group: &Group, operation: &Operation<'_>) -> impl IntoView + use<> {
    let address = format!("/docs/api/{}#{}", group.name, operation.id);
    view! {
        <li>
            {verb(&operation.method)}
            <a href=address><code>{operation.path.to_owned()}</code></a>
            <p inner_html=prose(operation.summary)></p>
        </li>
    }
}

fn detail(operation: &Operation<'_>) -> impl IntoView + use<> {
    let value = operation.value;
    let id = operation.id.to_owned();
    let parameters = document::parameters(value);
    let parameters =
        (!parameters.is_empty()).then(|| view! { <h3 class="part">"Parameters"</h3> {fields(parameters)} });
    let body = document::content(&value["requestBody"])
        .map(|(kind, schema)| view! { <h3 class="part">"Body"</h3> <p>{shaped(&document::kind(schema))}", "<code>{kind.to_owned()}</code></p> });
    let answers = value["responses"].as_object().into_iter().flatten();
    let answers: Vec<_> = answers.map(|(status, answer)| answered(status, answer)).collect();
    let key = value["security"].is_array().then(|| {
        let mut names: Vec<String> = Vec::new();
        for scheme in value["security"].as_array().into_iter().flatten() {
            names.extend(scheme.as_object().into_iter().flatten().map(|(name, _)| credential(name)));
        }
        let text = format!("Needs {}.", names.join(", or "));
        view! { <p class="small quiet">{text}</p> }
    });
    view! {
        <section class="operation" aria-labelledby=id.clone()>
            <h2 id=id.clone()>{operation.summary.replace('`', "").trim_end_matches('.').to_owned()}</h2>
            <p class="address">{verb(&operation.method)} <code>{operation.path.to_owned()}</code></p>
            {key}
            {parameters}
            {body}
            <h3 class="part">"Answers"</h3>
            <dl class="fields">{answers}</dl>
        </section>
    }
}

/// A way to say who asks, in words.
fn credential(name: &str) -> String {
    match name {
        "api_key" => "an API key in Authorization: Bearer".to_owned(),
        "x_api_key" => "the same key in x-api-key".to_owned(),
        "operator" => "the operator's token".to_owned(),
        other => other.replace('_', " "),
    }
}

fn answered(status: &str, answer: &Value) -> impl IntoView + use<> {
    let class = match status.as_bytes().first() {
        Some(b'2' | b'3') => "status",
        Some(b'5') => "status hot",
        _ => "status warm",
    };
    let content = document::content(answer).map(|(kind, schema)| {
        let is_problem = kind == "application/problem+json";
        let shape = (!is_problem).then(|| shaped(&document::kind(schema)));
        let problem = is_problem.then(|| view! { <a href="/problems">"problem"</a> });
        view! { " · " {shape} {problem} }
    });
    let about = document::text(&answer["description"]);
    view! {
        <div>
            <dt><span class=class>{status.to_owned()}</span></dt>
            <dd><span inner_html=prose(about)></span>{content}</dd>
        </div>
    }
}

fn fields(fields: Vec<Field>) -> impl IntoView {
    let rows: Vec<_> = fields
        .into_iter()
        .map(|field| {
            let must = field.is_required.then(|| view! { <span class="must">" required"</span> });
            view! {
                <div>
                    <dt><code>{field.name}</code>{must}<span class="kind">{shaped(&field.kind)}</span></dt>
                    <dd inner_html=prose(&field.about)></dd>
                </div>
            }
        })
        .collect();
    view! { <dl class="fields">{rows}</dl> }
}

fn shape(name: &str, schema: &Value) -> impl IntoView + use<> {
    let about = document::text(&schema["description"]);
    let about = (!about.is_empty()).then(|| view! { <p class="quiet" inner_html=prose(about)></p> });
    let inner = document::fields(schema);
    let kind = inner.is_empty().then(|| view! { <p>{shaped(&document::kind(schema))}</p> });
    let inner = (!inner.is_empty()).then(|| fields(inner));
    view! {
        <div class="operation">
            <h3 id=format!("shape-{name}")>{name.to_owned()}</h3>
            {about}
            {kind}
            {inner}
        </div>
    }
}

/// A kind in words, its shape linked.
fn shaped(kind: &Kind) -> impl IntoView + use<> {
    let link = kind.shape.clone().map(|name| view! { <a href=format!("#shape-{name}")>{name.clone()}</a> });
    view! { {kind.before.clone()} {link} {kind.after.clone()} }
}
