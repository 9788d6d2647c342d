//! `lifeboat breakglass`: envelopes for the day on which nothing else opens: printed, looked at, made worthless.
//!
//! The page goes to standard output as text or HTML, and nowhere else: codes are shown once and kept on paper.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    failure::Failure,
    node::Node,
    output::{Paper, printable, table},
};

/// What to do with envelopes.
#[derive(Debug, Subcommand)]
pub enum BreakGlass {
    /// Make an envelope and print its page; its codes are shown this once
    Print {
        /// Who keeps it, or where
        #[arg(long, value_name = "TEXT")]
        holder: String,
        /// What its codes open; everything without it
        #[arg(long, value_delimiter = ',', value_name = "ROLE")]
        role: Vec<String>,
        /// How many codes
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=10))]
        codes: u8,
        /// For how many days it is good
        #[arg(long, default_value_t = 365)]
        days: u64,
        /// As a page for a browser to print
        #[arg(long)]
        html: bool,
    },
    /// Show the envelopes, without their codes
    List,
    /// Say what a code would do, without using it
    Verify {
        /// The code, as printed
        code: String,
    },
    /// Make an envelope worthless
    Withdraw {
        /// Its serial
        serial: u64,
    },
}

#[derive(Debug, Deserialize)]
struct Printed {
    serial: u64,
    cluster: String,
    company: String,
    holder: String,
    roles: Vec<String>,
    made: String,
    expires: String,
    codes: Vec<String>,
    nodes: Vec<Reached>,
    phone_tree: Vec<Called>,
}

#[derive(Debug, Deserialize)]
struct Reached {
    name: String,
    addresses: Vec<String>,
    fingerprint: String,
}

#[derive(Debug, Deserialize)]
struct Called {
    name: String,
    number: String,
}

#[derive(Debug, Deserialize)]
struct Envelopes {
    envelopes: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    serial: u64,
    holder: String,
    roles: Vec<String>,
    expires: String,
    left: u64,
    codes: u64,
    good: bool,
}

#[derive(Debug, Deserialize)]
struct Verified {
    says: String,
}

/// Does what `lifeboat breakglass` was asked for.
pub async fn breakglass(node: &Node, what: BreakGlass, paper: Paper) -> Result<Said, Failure> {
    match what {
        BreakGlass::Print {
            holder,
            role,
            codes,
            days,
            html,
        } => {
            let body = json!({ "holder": holder, "roles": role, "codes": codes, "days": days });
            let answer = node.post::<Printed>("/envelopes", &body).await?;
            let page = if html {
                as_html(&answer.value)
            } else {
                as_text(&answer.value)
            };
            Ok(Said::of(answer.json, page))
        }
        BreakGlass::List => list(node, paper).await,
        BreakGlass::Verify { code } => {
            let body = json!({ "code": code });
            let answer = node.post::<Verified>("/envelopes/verify", &body).await?;
            let text = format!("{}\n", printable(&answer.value.says));
            Ok(Said::of(answer.json, text))
        }
        BreakGlass::Withdraw { serial } => {
            node.said(&format!("/envelopes/{serial}/withdraw"), &json!({}))
                .await
        }
    }
}

async fn list(node: &Node, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Envelopes>("/envelopes").await?;
    let row = |it: &Listed| {
        vec![
            it.serial.to_string(),
            it.holder.clone(),
            it.roles.join(","),
            format!("{} of {}", it.left, it.codes),
            paper.time(&it.expires),
            if it.good { "good" } else { "worthless" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = answer.value.envelopes.iter().map(row).collect();
    let text = if rows.is_empty() {
        "there is no envelope; make one with 'lifeboat breakglass print --holder TEXT'\n".to_owned()
    } else {
        table(
            &["SERIAL", "HOLDER", "OPENS", "CODES LEFT", "UNTIL", "STATE"],
            &rows,
        )
    };
    Ok(Said::of(answer.json, text))
}

/// How the page begins, whatever it is written in.
const HOW: [&str; 5] = [
    "Open it when nobody can sign in and customers must be told. It needs nothing of the company's own systems.",
    "In a browser open one of the addresses below, with /break-glass at its end. The browser warns; that is right. Compare the fingerprint it shows (SHA-256 of the certificate) with the one printed here. If it differs, stop and take another server.",
    "Type one code. Small letters and missing dashes do not matter; the last group finds typing errors. Each code is good once; strike it out.",
    "Everybody is told that a code was used. Say on the console who you are and why.",
    "Afterwards print a new envelope and withdraw this one: lifeboat breakglass withdraw",
];

fn as_text(it: &Printed) -> String {
    let rule = "-".repeat(76);
    let mut text = format!(
        "{rule}\nLIFEBOAT BREAK-GLASS ENVELOPE {}   {} ({})\n{rule}\nkept by   {}\nopens     {}\nmade      {}\ngood until {}\n\n",
        it.serial,
        printable(&it.company),
        it.cluster,
        printable(&it.holder),
        it.roles.join(", "),
        it.made,
        it.expires,
    );
    for (number, line) in (1..).zip(HOW) {
        text.push_str(&format!("{number}. {}\n", wrapped(line)));
    }
    text.push_str("\nSERVERS\n");
    for node in &it.nodes {
        text.push_str(&format!("{}  {}\n", node.name, node.addresses.join("  ")));
        let (first, second) = node.fingerprint.split_at(node.fingerprint.len() / 2);
        text.push_str(&format!("  {first}\n  {second}\n"));
    }
    if !it.phone_tree.is_empty() {
        text.push_str("\nCALL, IN THIS ORDER\n");
    }
    for (number, call) in (1..).zip(&it.phone_tree) {
        let (name, number_of) = (printable(&call.name), printable(&call.number));
        text.push_str(&format!("{number}. {name}  {number_of}\n"));
    }
    text.push_str(&format!(
        "\n- - - - fold here, codes inside - - - -\n\nCODES OF ENVELOPE {}\n\n",
        it.serial
    ));
    for (number, code) in (1..).zip(&it.codes) {
        text.push_str(&format!("[ ] {number:2}  {code}\n"));
    }
    text
}

/// Within 76 columns, further lines below the first.
fn wrapped(line: &str) -> String {
    let (mut text, mut column) = (String::new(), 3);
    for word in line.split(' ') {
        let length = word.chars().count();
        if column + length > 76 {
            text.push_str("\n   ");
            column = 3;
        } else if !text.is_empty() {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text
}

fn as_html(it: &Printed) -> String {
    let (serial, company) = (it.serial, escaped(&it.company));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Envelope {serial}</title>\n<style>\n\
         @page{{size:A4;margin:14mm}}body{{font:11pt/1.35 sans-serif;color:#000;background:#fff;max-width:180mm;margin:0 auto}}\
         h1{{font-size:17pt;margin:0 0 3mm}}h2{{font-size:12pt;margin:5mm 0 1mm}}p,ol,dl{{margin:0 0 2mm}}code{{font:10pt/1.5 monospace}}\
         .fold{{border-top:1px dashed #000;margin:7mm 0 5mm;font-size:9pt}}.codes{{list-style:none;padding:0}}.codes code{{font-size:12pt;font-weight:700}}\
         dt{{float:left;clear:left;width:26mm}}dd{{margin:0 0 0 28mm}}\n</style>\n</head>\n<body>\n\
         <h1>Lifeboat break-glass envelope {serial}</h1>\n<dl><dt>company</dt><dd>{company} ({})</dd><dt>kept by</dt><dd>{}</dd><dt>opens</dt><dd>{}</dd><dt>made</dt><dd>{}</dd><dt>good until</dt><dd>{}</dd></dl>\n<ol>\n",
        escaped(&it.cluster),
        escaped(&it.holder),
        escaped(&it.roles.join(", ")),
        escaped(&it.made),
        escaped(&it.expires),
    );
    for line in HOW {
        page.push_str(&format!("<li>{}</li>\n", escaped(line)));
    }
    page.push_str("</ol>\n<h2>Servers</h2>\n");
    for node in &it.nodes {
        page.push_str(&format!(
            "<p><b>{}</b> {}<br><code>{}</code></p>\n",
            escaped(&node.name),
            escaped(&node.addresses.join(" ")),
            escaped(&node.fingerprint),
        ));
    }
    if !it.phone_tree.is_empty() {
        page.push_str("<h2>Call, in this order</h2>\n<ol>\n");
        for call in &it.phone_tree {
            let (name, number) = (escaped(&call.name), escaped(&call.number));
            page.push_str(&format!("<li>{name} <b>{number}</b></li>\n"));
        }
        page.push_str("</ol>\n");
    }
    page.push_str(&format!(
        "<p class=\"fold\">fold here, codes inside</p>\n<h2>Codes of envelope {serial}</h2>\n<ol class=\"codes\">\n"
    ));
    for code in &it.codes {
        page.push_str(&format!(
            "<li>&#9744; <code>{}</code></li>\n",
            escaped(code)
        ));
    }
    page.push_str("</ol>\n</body>\n</html>\n");
    page
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Printed {
        Printed {
            serial: 41,
            cluster: "example".to_owned(),
            company: "Example & Sons".to_owned(),
            holder: "safe <2>".to_owned(),
            roles: vec!["admin".to_owned()],
            made: "2026-11-26T08:00:00Z".to_owned(),
            expires: "2027-11-26T08:00:00Z".to_owned(),
            codes: vec!["0000-0000-0000-0000-0000-0000-0000-0000-0000".to_owned()],
            nodes: vec![Reached {
                name: "prague-1".to_owned(),
                addresses: vec!["https://192.0.2.1:8443".to_owned()],
                fingerprint: ["AB"; 32].join(":"),
            }],
            phone_tree: vec![Called {
                name: "Support".to_owned(),
                number: "+420 000 000 000".to_owned(),
            }],
        }
    }

    #[test]
    fn the_page_has_all_that_is_needed_and_fits_on_paper() {
        let text = as_text(&page());
        assert!(text.lines().all(|it| it.chars().count() <= 80), "{text}");
        for part in [
            "ENVELOPE 41",
            "192.0.2.1:8443",
            "AB:AB",
            "+420 000",
            "0000-0000",
            "fold here",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let html = as_html(&page());
        assert!(html.contains("safe &lt;2&gt;") && html.contains("Example &amp; Sons"));
    }
}
