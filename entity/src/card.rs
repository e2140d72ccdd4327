//! Card numbers, to be kept out: whether a text holds one.
//!
//! Nothing is said of whose number it is, or whether it is in use. A number that merely looks like one is taken for one; ids, digests and barcodes
//! are told apart where that can be done for sure.

/// How many digits the numbers of cards have (ISO/IEC 7812).
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// So many hexadecimal digits in one word are an id or a digest.
const ID_CHARACTERS: usize = 24;
/// Where the hyphens of a UUID stand, and how long it is.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const UUID_CHARACTERS: usize = 36;
/// As often as that an address may have been written into another one.
const MOST_LAYERS: usize = 5;
/// The zeros of the digits that people type: ASCII, Arabic, Persian, Devanagari, full-width.
const ZEROS: [char; 5] = ['0', '٠', '۰', '०', '０'];

/// Whether a text holds what looks like a card number: 13 to 19 digits that pass Luhn's check, with at most one space or dash between two of them.
/// It may stand among other groups of digits. Numbers that begin with 0 or 1 are on no payment card, so that instants in milliseconds pass; and so
/// do UUIDs, long hexadecimal words, and numbers of more digits.
pub fn holds_card_number(text: &str) -> bool {
    if text.chars().filter_map(digit).count() < *DIGITS.start() {
        return false;
    }
    let text: Vec<char> = text.chars().collect();
    chains(&without_ids(&text)).iter().any(|groups| holds_one(groups))
}

/// Whether an address holds one as whoever reads it would read it: with its tabs and ends of lines left out, with a space for each plus, and with its
/// characters written as a percent sign and two digits, even that a few times over.
pub fn address_holds_card_number(address: &str) -> bool {
    let mut address = address.replace(['\t', '\n', '\r'], "");
    for _ in 0..MOST_LAYERS {
        if holds_card_number(&address) || holds_card_number(&address.replace('+', " ")) {
            return true;
        }
        match decoded(&address) {
            Some(shorter) => address = shorter,
            None => return false,
        }
    }
    false
}

/// An address with what stands for its characters resolved once; `None` where nothing does.
fn decoded(address: &str) -> Option<String> {
    let mut bytes = vec![];
    let mut rest = address.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16)?.try_into().ok());
        let byte: Option<(u8, u8)> = if *first == b'%' { hex(0).zip(hex(1)) } else { None };
        bytes.push(byte.map_or(*first, |(high, low)| high * 16 + low));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (bytes.len() < address.len()).then_some(text)
}

fn digit(character: char) -> Option<u32> {
    let value = |zero: char| u32::from(character).checked_sub(u32::from(zero)).filter(|value| *value < 10);
    ZEROS.into_iter().find_map(value)
}

/// What stands between two groups of digits: spaces and dashes, those that don't break a line included.
fn is_gap(character: char) -> bool {
    matches!(character, ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}' | '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// The text with a letter in place of each UUID and of each long hexadecimal word.
fn without_ids(text: &[char]) -> Vec<char> {
    let mut kept = vec![];
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let starts_word = kept.last().is_none_or(|last: &char| !last.is_ascii_alphanumeric());
        let id = if starts_word { id_length(rest) } else { None };
        let (keep, length) = id.map_or((*first, 1), |length| ('x', length));
        kept.push(keep);
        rest = rest.get(length..).unwrap_or(after);
    }
    kept
}

/// How long the id is that a text begins with.
fn id_length(text: &[char]) -> Option<usize> {
    let is_end = |length: usize| text.get(length).is_none_or(|next| !next.is_ascii_alphanumeric());
    let uuid = text.get(..UUID_CHARACTERS).filter(|uuid| {
        let fits = |(at, character): (usize, &char)| match HYPHENS.contains(&at) {
            true => *character == '-',
            false => character.is_ascii_hexdigit(),
        };
        uuid.iter().enumerate().all(fits) && is_end(UUID_CHARACTERS)
    });
    if let Some(uuid) = uuid {
        return Some(uuid.len());
    }
    let word = text.iter().take_while(|character| character.is_ascii_hexdigit()).count();
    let has_letter = text.iter().take(word).any(char::is_ascii_alphabetic);
    (word >= ID_CHARACTERS && has_letter && is_end(word)).then_some(word)
}

/// The digits of a text: groups that stand together, one gap between two of them.
fn chains(text: &[char]) -> Vec<Vec<Vec<u32>>> {
    let mut chains = vec![];
    let mut groups: Vec<Vec<u32>> = vec![];
    let mut group = vec![];
    for character in text {
        match digit(*character) {
            Some(digit) => group.push(digit),
            None if is_gap(*character) && !group.is_empty() => groups.push(std::mem::take(&mut group)),
            None => {
                groups.push(std::mem::take(&mut group));
                chains.push(std::mem::take(&mut groups));
            }
        }
    }
    groups.push(group);
    chains.push(groups);
    chains
}

/// Whether some of the groups, one after the other, are a card number.
fn holds_one(groups: &[Vec<u32>]) -> bool {
    (0..groups.len()).any(|start| {
        let mut number = vec![];
        for (at, group) in groups.iter().skip(start).enumerate() {
            number.extend(group);
            if number.len() > *DIGITS.end() {
                break;
            }
            if is_card_number(&number) && !(at == 0 && is_barcode(&number)) {
                return true;
            }
        }
        false
    })
}

fn is_card_number(number: &[u32]) -> bool {
    DIGITS.contains(&number.len()) && !matches!(number, [0 | 1, ..]) && passes_luhn(number)
}

fn passes_luhn(number: &[u32]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let weighed = number.iter().rev().enumerate().map(|(at, digit)| if at % 2 == 1 { doubled(*digit) } else { *digit });
    weighed.sum::<u32>() % 10 == 0
}

/// Whether it is the number of a trade item (GTIN), which sellers use as a SKU: every tenth would pass Luhn's check. Of cards, only those of Diners
/// Club still have 14 digits; they begin with 3.
fn is_barcode(number: &[u32]) -> bool {
    let has_length = number.len() == 13 || (number.len() == 14 && number.first() != Some(&3));
    let weighed = number.iter().rev().enumerate().map(|(at, digit)| if at % 2 == 1 { digit * 3 } else { *digit });
    has_length && weighed.sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the card networks publish for tests.
    const TEST_NUMBERS: [&str; 16] = [
        "4111111111111111",
        "4242424242424242",
        "4222222222222",
        "4000000000000000006",
        "5555555555554444",
        "2223003122003222",
        "5105105105105100",
        "378282246310005",
        "371449635398431",
        "6011111111111117",
        "30569309025904",
        "38520000023237",
        "3530111333300000",
        "6200000000000005",
        "6759649826438453",
        "2200000000000004",
    ];

    #[test]
    fn the_test_numbers_of_every_brand_are_found() {
        for number in TEST_NUMBERS {
            for text in [number.to_owned(), format!("card {number}, exp 12/30"), format!("PAN{number}x")] {
                assert!(holds_card_number(&text), "{text}");
            }
        }
    }

    #[test]
    fn groups_are_found_whatever_stands_beside_them() {
        for text in [
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "3782 822463 10005",
            "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
            "4111 1111 1111 1111 123",
            "12 4111 1111 1111 1111",
            "2026-11-22 4111111111111111 123",
            "4111\u{a0}1111\u{2011}1111–1111",
            "４１１１１１１１１１１１１１１１",
            "٤١١١١١١١١١١١١١١١",
            "{\"n\":\"4111111111111111\"}",
            "cc4111111111111111",
        ] {
            assert!(holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn near_misses_pass() {
        for text in [
            "",
            "4111111111111112",
            "411111111111",
            "41111111111111110000",
            "4111  1111  1111  1111",
            "4111 1111\n1111 1111",
            "4111.1111.1111.1111",
            "0000000000000000",
            "1111111111111117",
            "2026-11-22T06:12:20.123Z",
            "+49 30 1234567",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn ids_and_digests_pass() {
        for text in [
            "01a20196-0d7c-7b4b-a0b5-239896af187d",
            "ord_01a20196-0d7c-7b4b-a0b5-239896af187d",
            "41111111-1111-1111-0000-000000000000",
            "key-41111111-1111-1111-0000-000000000000-1",
            "ab4111111111111111cdef0123456789",
            "65f4111111111111111cdef0",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
        // More than a UUID, and less than an id.
        for text in ["41111111-1111-1111-0000-0000000000001", "ab4111111111111111cd"] {
            assert!(holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn a_barcode_passes_and_a_card_of_as_many_digits_does_not() {
        // Both checks hold for them.
        for barcode in ["4006381000093", "54006381000043"] {
            let digits: Vec<u32> = barcode.chars().filter_map(digit).collect();
            assert_eq!((is_card_number(&digits), is_barcode(&digits)), (true, true), "{barcode}");
            assert!(!holds_card_number(barcode), "{barcode}");
        }
    }

    #[test]
    fn an_address_hides_none() {
        for address in [
            "https://shop.example/thanks?card=4111111111111111",
            "https://shop.example/%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31",
            "https://shop.example/?n=411111111111111%31",
            "https://shop.example/?n=4111+1111+1111+1111",
            "https://shop.example/?n=4111%201111%2D1111%e2%80%8a1111&m=4111%201111%201111%C2%A01111",
            "https://shop.example/?n=4111\t1111\r\n11111111",
            "https://shop.example/#%253411111111111111%2531",
            "https://shop.example/%25253411111111111111%252531%zz%",
        ] {
            assert!(address_holds_card_number(address), "{address}");
        }
        for address in [
            "https://shop.example/thanks?order=ord_01a20196-0d7c-7b4b-a0b5-239896af187d&at=2026-11-22T06%3A12%3A20.123Z",
            "https://shop.example/?n=%34111",
            "https://shop.example/?a=1%2B1&b=100%",
            "%",
            "%%%4",
            "",
        ] {
            assert!(!address_holds_card_number(address), "{address}");
        }
    }

    fn with_check_digit(mut number: Vec<u32>) -> Vec<u32> {
        number.push(0);
        let check = (0..10).find(|check| {
            *number.last_mut().unwrap() = *check;
            passes_luhn(&number)
        });
        *number.last_mut().unwrap() = check.unwrap();
        number
    }

    fn written(number: &[u32], gap: &str) -> String {
        let groups = number.chunks(4).map(|group| group.iter().map(ToString::to_string).collect::<String>());
        groups.collect::<Vec<_>>().join(gap)
    }

    proptest! {
        #[test]
        fn a_number_is_found_in_any_text(
            first in 2..10_u32,
            rest in prop::collection::vec(0..10_u32, 13..18),
            gap in prop::sample::select(vec!["", " ", "-"]),
            before in "([^0-9]{0,20}[g-z .:])?",
            after in "([g-z .:][^0-9]{0,20})?",
        ) {
            let number = with_check_digit([vec![first], rest].concat());
            let text = format!("{before}{}{after}", written(&number, gap));
            prop_assert!(holds_card_number(&text), "{text}");
            // One digit off is no card number.
            let mut other = number;
            let last = other.last_mut().unwrap();
            *last = (*last + 1) % 10;
            let text = format!("x{}x", written(&other, ""));
            prop_assert!(!holds_card_number(&text), "{text}");
        }

        #[test]
        fn any_text_can_be_looked_through(text in ".*") {
            let _ = holds_card_number(&text);
            let _ = address_holds_card_number(&text);
        }

        #[test]
        fn no_uuid_is_a_card_number(bits in any::<u128>()) {
            let id = uuid::Uuid::from_u128(bits);
            for text in [id.to_string(), id.simple().to_string()] {
                let is_number = text.chars().all(|character| character.is_ascii_digit());
                prop_assert!(is_number || !holds_card_number(&text), "{text}");
            }
        }
    }
}
