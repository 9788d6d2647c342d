//! A file's name as it may be shown and saved: whatever its sender called it, it is one short line without a path, without
//! characters that turn or hide others, and it ends as its kind does. Pure.

use crate::model::files::FileKind;
use crate::model::limits::FILE_NAME_CHARS_MAX;

/// The name of a file that is not taken, so that its sender knows which one is meant.
pub(super) fn shown_as_given(given: &str) -> String {
    let plain = plain(given);
    let short: String = plain.chars().take(FILE_NAME_CHARS_MAX).collect();
    match short.is_empty() {
        true => "?".to_owned(),
        false => short,
    }
}

/// The last part of a path, in characters that are shown as what they are.
fn plain(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().map(shown).collect();
    let plain: Vec<&str> = plain.split_whitespace().collect();
    let plain = plain.join(" ");
    plain.trim_matches(['.', ' ', '~', '-']).to_owned()
}

/// The cleaned name. `report.exe` that is a picture becomes `report.exe.png`.
pub fn cleaned(given: &str, kind: FileKind) -> String {
    let plain = plain(given);
    let plain = plain.as_str();
    let ending = plain.rsplit_once('.').map(|it| it.1.to_lowercase());
    let fits = ending.filter(|it| kind.endings().contains(&it.as_str()));
    let (stem, ending) = match &fits {
        Some(ending) => (&plain[..plain.len() - ending.len() - 1], ending.as_str()),
        None => (plain, kind.endings()[0]),
    };
    let room = FILE_NAME_CHARS_MAX - ending.len() - 1;
    let stem: String = match stem.chars().count() > room {
        true => stem.chars().take(room - 1).chain(['…']).collect(),
        false => stem.to_owned(),
    };
    match stem.trim_end_matches(['.', ' ']) {
        "" => format!("file.{ending}"),
        stem => format!("{stem}.{ending}"),
    }
}

/// The character, or a line in its place where it is not shown as one, or means something to shells and file systems.
fn shown(it: char) -> char {
    let hides = matches!(
        it,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{ffff}'
            | '\u{e0000}'..='\u{e0fff}'
            | '\u{e000}'..='\u{f8ff}'
    );
    match it {
        _ if hides || it.is_control() => '_',
        '<' | '>' | ':' | '"' | '|' | '?' | '*' | '`' | '$' | '%' | ';' | '&' | '\'' => '_',
        _ => it,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hostile_name_is_cleaned_and_ends_as_its_kind_does() {
        for (given, kind, wanted) in [
            (
                "Snímek obrazovky 1.png",
                FileKind::Png,
                "Snímek obrazovky 1.png",
            ),
            ("../../etc/passwd", FileKind::Text, "passwd.txt"),
            ("C:\\fakepath\\error.LOG", FileKind::Text, "error.log"),
            ("cod\u{202e}gnp.exe", FileKind::Png, "cod_gnp.exe.png"),
            (
                "a\r\nSet-Cookie: x\0.jpeg",
                FileKind::Jpeg,
                "a__Set-Cookie_ x_.jpeg",
            ),
            ("evil.html", FileKind::Text, "evil.html.txt"),
            ("", FileKind::Pdf, "file.pdf"),
            ("...", FileKind::Pdf, "file.pdf"),
            (".png", FileKind::Png, "png.png"),
            ("-rf", FileKind::Text, "rf.txt"),
            ("\"><script>", FileKind::Gif, "___script_.gif"),
        ] {
            assert_eq!(cleaned(given, kind), wanted, "{given:?}");
        }
        let long = cleaned(&"ř".repeat(300), FileKind::Jpeg);
        assert_eq!(long.chars().count(), FILE_NAME_CHARS_MAX);
        assert!(long.ends_with("….jpg"), "{long}");
    }

    proptest! {
        #[test]
        fn any_name_becomes_one_that_stays_as_it_is(given: String, at in 0_usize..6) {
            let kind = FileKind::ALL[at];
            let once = cleaned(&given, kind);
            prop_assert!(once.chars().count() <= FILE_NAME_CHARS_MAX);
            prop_assert!(!once.contains(['/', '\\', '"', '\r', '\n', '\0']));
            prop_assert!(!once.starts_with('.') && !once.starts_with('-'));
            let ends = |it: &&str| once.ends_with(&[".", it].concat());
            prop_assert!(kind.endings().iter().any(ends));
            prop_assert_eq!(&cleaned(&once, kind), &once);
        }
    }
}
