//! The commented `.env.example`, printed from the table.

use super::table::{Group, TABLE, Unset, Variable};

/// Comment lines are folded at this width: a terminal's 100 columns with some air.
const WIDTH: usize = 96;

const HEAD: &str = "Freeside's environment. Printed by `freeside config env-template`.

Nothing needs to be set for a first look: everything below is commented out and shows an example. Freeside does not read this file by itself; export it (`set -a; . ./.env; set +a`) or hand it to a container. An empty value counts as not set. A variable marked [secret] may instead come from a file: set NAME_FILE to its path. `freeside config check` tells what is set and what is wrong.";

/// The whole text.
pub fn env_template() -> String {
    let mut text = String::new();
    for paragraph in HEAD.split('\n') {
        comment(&mut text, paragraph);
    }
    for group in Group::ALL {
        text.push('\n');
        comment(&mut text, &format!("=== {} ===", group.title()));
        for variable in TABLE.iter().filter(|variable| variable.group == group) {
            text.push('\n');
            row(&mut text, variable);
        }
    }
    text
}

fn row(text: &mut String, variable: &Variable) {
    let secret = if variable.secret { " [secret]" } else { "" };
    comment(text, &format!("{}{secret}", variable.about));
    if let Some(feature) = variable.turns_on {
        comment(text, &format!("Turns on {}; until then {}.", feature.name, feature.instead));
    }
    let unset = match variable.default {
        Unset::Is(value) => format!("Default: {value}."),
        Unset::Follows(words) => format!("Default: {words}."),
        Unset::Nothing => "Default: not set.".into(),
    };
    comment(text, &format!("{unset} Kind: {}.", variable.kind.describe()));
    // The second number of a family stands for all: its first one is what most need.
    let name = variable.name.replace("<n>", "1").replace("<chain id>", "8453");
    let quote = if variable.example.contains([' ', '#', '$', '*']) { "'" } else { "" };
    for part in ["#", &name, "=", quote, variable.example, quote, "\n"] {
        text.push_str(part);
    }
}

fn comment(text: &mut String, paragraph: &str) {
    let mut line = String::from("#");
    for word in paragraph.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
