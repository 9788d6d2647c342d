//! Colours as people write them, and whether they can be read on a ground (WCAG 2.2 contrast).
//! Knows nothing of pages; a text that is not a colour is refused without a reason, which the caller gives.

use std::fmt;
use std::str::FromStr;

/// An sRGB colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    red: u8,
    green: u8,
    blue: u8,
}

/// The text was not `#` and six hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a colour")]
pub struct NotAColour;

impl Colour {
    /// The paper of the pages by day.
    pub const WHITE: Colour = Colour::of(0xff, 0xff, 0xff);
    /// The paper of the pages by night.
    pub const NIGHT: Colour = Colour::of(0x10, 0x14, 0x18);

    /// A colour of its parts.
    pub const fn of(red: u8, green: u8, blue: u8) -> Colour {
        Colour { red, green, blue }
    }

    /// The contrast between two colours, from 1 (none) to 21 (black on white).
    pub fn contrast(self, other: Colour) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// The colour itself, or the first on its way to white that has at least this contrast on `ground`.
    pub fn lightened_until(self, contrast: f64, ground: Colour) -> Colour {
        (0..=32_u8)
            .map(|step| self.towards_white(step))
            .find(|colour| colour.contrast(ground) >= contrast)
            .unwrap_or(Colour::WHITE)
    }

    /// `step` thirty-second parts of the way to white.
    fn towards_white(self, step: u8) -> Colour {
        let part = |value: u8| {
            value + u8::try_from(u16::from(255 - value) * u16::from(step) / 32).unwrap_or(0)
        };
        Colour::of(part(self.red), part(self.green), part(self.blue))
    }

    /// Relative luminance as WCAG 2.2 defines it.
    fn luminance(self) -> f64 {
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

impl FromStr for Colour {
    type Err = NotAColour;

    fn from_str(text: &str) -> Result<Colour, NotAColour> {
        let digits = text.strip_prefix('#').ok_or(NotAColour)?;
        if digits.len() != 6 || !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err(NotAColour);
        }
        let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| NotAColour);
        Ok(Colour::of(part(0)?, part(2)?, part(4)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_that_of_the_standard() {
        assert!((Colour::WHITE.contrast(Colour::of(0, 0, 0)) - 21.0).abs() < 1e-9);
        let grey: Colour = "#767676".parse().unwrap();
        assert!((4.5..4.6).contains(&grey.contrast(Colour::WHITE)));
    }

    #[test]
    fn a_colour_reads_back_as_itself() {
        for text in ["#0b57a4", "#ffffff", "#000000"] {
            assert_eq!(text.parse::<Colour>().unwrap().to_string(), text);
        }
        for text in ["0b57a4", "#0b57a", "#0b57ag", "#\u{e9}57a", "#+b57a4"] {
            assert_eq!(text.parse::<Colour>(), Err(NotAColour), "{text}");
        }
    }
}
