//! The customers of the demo's company: made up, and an export of them as a billing system would write it.

use std::fmt::Write as _;

/// So many.
pub(super) const COUNT: u32 = 2_000;

/// All of them, a row for each service, under headings that the import understands by itself.
pub(super) fn export() -> String {
    let names = [
        "Jana Nová",
        "Petr Svoboda",
        "Eva Dvořáková",
        "Tomáš Černý",
        "Ann Smith",
        "Paul Jones",
    ];
    let mut text =
        "Číslo zákazníka;Jméno;E-mail;Jazyk;Server;Rack;Datové centrum;Produkt;Doména\n".to_owned();
    for number in 1..=COUNT {
        let place = number as usize % names.len();
        let (name, lang) = (names[place], if place < 4 { "cs" } else { "en" });
        let house = if number % 3 == 0 { "brno" } else { "praha" };
        let (server, rack) = (number % 40, number % 12);
        // Every second customer has their own mailbox with us, and another one elsewhere.
        let address = match number % 2 {
            0 => format!("info@shop{number}.example shop{number}@mail.example"),
            _ => format!("shop{number}@mail.example"),
        };
        let services = [("hosting", "web"), ("vps", "vps")];
        for (product, machine) in &services[..1 + usize::from(number % 5 == 0)] {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{:06};{name};{address};{lang};{machine}{server}.{house}.example.net;r{rack};{house};{product};shop{number}.example",
                100_000 + number
            );
        }
    }
    text
}
