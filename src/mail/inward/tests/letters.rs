//! What people write, with everything that mail programs put around it.

use proptest::prelude::*;

use crate::files::{Refused, Why};
use crate::mail::inward::judge::{Kind, judge, parse};
use crate::mail::inward::letter::{attached, fold, read, said};
use crate::model::limits::{MAIL_IN_PARTS_MAX, MESSAGE_CHARS_MAX};
use crate::model::words::{Lang, MessageText, TicketCode};

#[test]
fn what_is_quoted_and_signed_is_left_out_and_answers_between_quotes_are_not() {
    for (text, wanted) in [
        (
            "Yes.\n\nOn Thu, 26 Nov 2026 at 9:00, Support wrote:\n> Is it up?\n> Tell us.\n",
            "Yes.",
        ),
        (
            "Ano.\n\nDne 26. 11. 2026 v 9:00 Podpora <s@example.com>\nnapsal(a):\n\n> Už jede?\n",
            "Ano.",
        ),
        ("Yes.\n-- \nJana Nov\u{e1}kov\u{e1}\nExample s.r.o.", "Yes."),
        (
            "Yes.\n\n-----Original Message-----\nFrom: a\nIs it up?",
            "Yes.",
        ),
        (
            "Yes.\n\n________________________________\nFrom: Support <s@example.com>\nSent: Thursday\nTo: me\n\nIs it up?",
            "Yes.\n\n________________________________",
        ),
        (
            "Ano.\n\nOd: Podpora\nOdesl\u{e1}no: \u{10d}tvrtek\n\nUž jede?",
            "Ano.",
        ),
        (
            "> one?\nfirst\n> two?\nsecond",
            "> one?\nfirst\n> two?\nsecond",
        ),
        ("> all of it\n> is quoted", "> all of it\n> is quoted"),
        ("", ""),
        ("a: b:\n\nc", "a: b:\n\nc"),
    ] {
        assert_eq!(fold(text).0, wanted, "{text:?}");
    }
}

const MULTIPART: &str = "From: =?utf-8?q?Jana_Nov=C3=A1kov=C3=A1?= <jana@example.com>\r\nReply-To: <other@example.com>\r\n\
To: support@example.com\r\nSubject: =?windows-1250?Q?Nejde_n=E1m_server?= K7F-Q2M-9XF\r\nMessage-ID: <1@example.com>\r\n\
References: <a@x.example> <b@x.example>\r\nIn-Reply-To: <c@x.example>\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n\
--y\r\nContent-Type: text/plain; charset=windows-1250\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
Dobr=FD den, nejede n=E1m =F8.\r\n--y\r\nContent-Type: text/html\r\n\r\n<b>other</b>\r\n--y--\r\n\
--x\r\nContent-Type: image/jpeg; name=photo.jpg\r\nContent-Disposition: attachment; filename=\"ph\u{7}oto.jpg\"\r\n\
Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--x--\r\n";

#[test]
fn character_sets_attachments_and_threads_are_read() {
    let message = parse(MULTIPART.as_bytes()).unwrap();
    assert_eq!(judge(&message, false), Kind::Person);
    let letter = read(&message);
    assert!(
        letter
            .text
            .starts_with("Dobr\u{fd} den, nejede n\u{e1}m \u{159}"),
        "{}",
        letter.text
    );
    assert_eq!(
        letter.author.as_ref().unwrap().as_str(),
        "other@example.com"
    );
    assert!(
        letter.subject.starts_with("Nejde n\u{e1}m server"),
        "{}",
        letter.subject
    );
    let attached: Vec<(String, &[u8])> = attached(&message).collect();
    assert_eq!(attached.len(), 1);
    assert_eq!(
        (attached[0].0.ends_with("oto.jpg"), attached[0].1),
        (true, &[0, 0, 0][..])
    );
    let mut letter = letter;
    letter.leave_out(&Refused {
        name: "photo.jpg".to_owned(),
        why: Why::Kind,
        bytes: 3,
    });
    assert_eq!(
        letter.answers,
        ["c@x.example", "b@x.example", "a@x.example"]
    );
    assert_eq!(letter.lang, Some(Lang::Cs));
    let pieces = said(&letter, Lang::Cs, true, (false, false)).unwrap();
    assert!(
        pieces[0].starts_with("Nejde n\u{e1}m server")
            && pieces[0]
                .contains("neulo\u{17e}ili, po\u{10d}et 1: photo.jpg (1 kB, jin\u{fd} druh"),
        "{pieces:?}"
    );
    let ticket = TicketCode::from_entropy(7);
    let subject = format!("From: a@example.com\r\nSubject: Re: [{ticket}] power\r\n\r\nx");
    assert_eq!(read(&parse(subject.as_bytes()).unwrap()).tickets, [ticket]);
}

#[test]
fn html_alone_is_read_as_text() {
    let mail = "From: a@example.com\r\nContent-Type: text/html\r\n\r\n<p>One &amp; <b>two</b></p><script>x()</script><p>three</p>";
    let letter = read(&parse(mail.as_bytes()).unwrap());
    assert!(
        letter.text.contains("One & two")
            && letter.text.contains("three")
            && !letter.text.contains('<'),
        "{}",
        letter.text
    );
}

#[test]
fn a_long_letter_becomes_several_messages_and_a_longer_one_is_refused_not_cut() {
    let letter = |count: usize| {
        let mail = format!(
            "From: a@example.com\r\n\r\n{}",
            "0123456789\r\n".repeat(count)
        );
        read(&parse(mail.as_bytes()).unwrap())
    };
    let pieces = said(&letter(1_000), Lang::En, true, (false, false)).unwrap();
    assert!(pieces.len() > 2 && pieces.iter().all(|it| MessageText::new(it).is_ok()));
    assert_eq!(pieces.join("\n").matches("0123456789").count(), 1_000);
    let most = MAIL_IN_PARTS_MAX * MESSAGE_CHARS_MAX / 11;
    assert_eq!(
        said(&letter(most + 1_000), Lang::En, true, (false, false)),
        None
    );
}

#[test]
fn machines_are_known_by_what_they_say_of_themselves() {
    let kind = |head: &str, null: bool| {
        judge(
            &parse(format!("From: a@example.com\r\n{head}\r\n\r\nx").as_bytes()).unwrap(),
            null,
        )
    };
    for head in [
        "Auto-Submitted: auto-replied (vacation)",
        "Subject: Out of Office: Re: power",
        "Subject: Automatick\u{e1} odpov\u{11b}\u{10f}: pros\u{ed}m",
        "X-Autoreply: yes",
        "Precedence: auto_reply",
    ] {
        assert_eq!(kind(head, false), Kind::AutoReply, "{head}");
    }
    for head in [
        "Auto-Submitted: auto-generated",
        "Precedence: bulk",
        "List-Id: <x.example>",
        "X-Loop: a",
    ] {
        assert_eq!(kind(head, false), Kind::Automatic, "{head}");
    }
    assert_eq!(
        kind("Auto-Submitted: no\r\nSubject: power", false),
        Kind::Person
    );
    assert_eq!(kind("Subject: power", true), Kind::Automatic);
    // A person may write about a returned mail.
    assert_eq!(
        kind("Subject: Undelivered mail to you", false),
        Kind::Person
    );
}

#[test]
fn p10_a_letter_within_a_letter_that_breaks_off_is_read_as_far_as_it_goes() {
    let within = "Content-Type: message/rfc822\r\n\r\n";
    let text = format!(
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n{within}{within}\r\n--x--\r\n"
    );
    let letter = read(&parse(text.as_bytes()).unwrap());
    assert!(said(&letter, Lang::En, true, (true, true)).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn p10_no_message_makes_reading_panic(parts in proptest::collection::vec(prop_oneof![
        Just("Content-Type: multipart/mixed; boundary=x\r\n".to_owned()), Just("--x\r\n".to_owned()), Just("--x--\r\n".to_owned()),
        Just("\r\n".to_owned()), Just("Content-Type: message/rfc822\r\n".to_owned()), Just("Content-Type: message/delivery-status\r\n".to_owned()),
        Just("Final-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.1.1\r\n".to_owned()), Just("Content-Transfer-Encoding: base64\r\n".to_owned()),
        Just("Content-Type: text/plain; charset=iso-2022-jp\r\n".to_owned()), Just("Subject: =?utf-8?B?w6E=?= Undelivered\r\n".to_owned()),
        Just("From: MAILER-DAEMON <>\r\n".to_owned()), Just("5.1\u{159}. 5.. 550 5.1.1 user unknown\r\n".to_owned()), "\\PC{0,30}", "[\\x00-\\xff]{0,30}",
    ], 0..25), null in any::<bool>()) {
        let bytes = parts.concat().into_bytes();
        if let Some(message) = parse(&bytes) {
            let _ = judge(&message, null);
            let letter = read(&message);
            for piece in said(&letter, Lang::En, true, (true, true)).unwrap_or_default() {
                prop_assert!(piece.chars().count() <= MESSAGE_CHARS_MAX);
            }
        }
    }

    #[test]
    fn p10_no_text_makes_folding_panic(text in "([>:a\\- ]{0,4}\n){0,12}") {
        let (kept, _) = fold(&text);
        prop_assert!(kept.len() <= text.len());
    }
}
