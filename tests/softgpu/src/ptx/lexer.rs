//! Tokens of PTX. Lines are kept: reports name them, and `.loc` ends with its line.

use super::{PtxError, Result};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tok {
    /// Anything that starts like a name: mnemonics with all their modifiers, registers, labels, directives.
    Word(String),
    Int(u64),
    F32(u32),
    F64(u64),
    Str(String),
    Punct(char),
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub tok: Tok,
    pub line: u32,
}

fn starts_word(c: u8) -> bool {
    c.is_ascii_alphabetic() || matches!(c, b'_' | b'$' | b'%' | b'.')
}

fn continues_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$' | b'%' | b'.')
}

pub(crate) fn tokens(text: &str) -> Result<Vec<Token>> {
    let s = text.as_bytes();
    let mut out = Vec::with_capacity(s.len() / 4);
    let (mut i, mut line) = (0, 1u32);
    while i < s.len() {
        let c = s[i];
        if c == b'\n' {
            line += 1;
            i += 1;
        } else if c.is_ascii_whitespace() {
            i += 1;
        } else if c == b'/' && s.get(i + 1) == Some(&b'/') {
            while i < s.len() && s[i] != b'\n' {
                i += 1;
            }
        } else if c == b'/' && s.get(i + 1) == Some(&b'*') {
            let start = line;
            i += 2;
            loop {
                if i + 1 >= s.len() {
                    return Err(PtxError::new(start, "a comment that never ends"));
                }
                if s[i] == b'*' && s[i + 1] == b'/' {
                    break;
                }
                line += u32::from(s[i] == b'\n');
                i += 1;
            }
            i += 2;
        } else if c == b'"' {
            let begin = i + 1;
            i += 1;
            while i < s.len() && s[i] != b'"' && s[i] != b'\n' {
                i += 1;
            }
            if s.get(i) != Some(&b'"') {
                return Err(PtxError::new(line, "a string that never ends"));
            }
            out.push(Token { tok: Tok::Str(text[begin..i].to_string()), line });
            i += 1;
        } else if c.is_ascii_digit() {
            let begin = i;
            while i < s.len() && (s[i].is_ascii_alphanumeric() || s[i] == b'.') {
                i += 1;
                // an exponent's sign belongs to a decimal number, never to a hexadecimal one
                let w = &s[begin..i];
                let decimal = !(w.len() > 1 && w[0] == b'0' && w[1].is_ascii_alphabetic());
                if decimal && matches!(s[i - 1], b'e' | b'E') && i < s.len() && matches!(s[i], b'+' | b'-') {
                    i += 1;
                }
            }
            out.push(Token { tok: number(&text[begin..i], line)?, line });
        } else if starts_word(c) {
            let begin = i;
            i += 1;
            while i < s.len() {
                if continues_word(s[i]) {
                    i += 1;
                } else if s[i] == b':' && s.get(i + 1) == Some(&b':') {
                    i += 2;
                } else {
                    break;
                }
            }
            out.push(Token { tok: Tok::Word(text[begin..i].to_string()), line });
        } else if b"{}()[]<>,;:+-@!|=*&".contains(&c) {
            out.push(Token { tok: Tok::Punct(c as char), line });
            i += 1;
        } else {
            return Err(PtxError::new(line, format!("unexpected character {:?}", c as char)));
        }
    }
    Ok(out)
}

fn number(w: &str, line: u32) -> Result<Tok> {
    let bad = || PtxError::new(line, format!("bad number `{w}`"));
    let b = w.as_bytes();
    if b.len() > 1 && b[0] == b'0' {
        match b[1] {
            b'f' | b'F' if b.len() == 10 => {
                return u32::from_str_radix(&w[2..], 16).map(Tok::F32).map_err(|_| bad());
            }
            b'd' | b'D' if b.len() == 18 => {
                return u64::from_str_radix(&w[2..], 16).map(Tok::F64).map_err(|_| bad());
            }
            _ => {}
        }
    }
    let plain = w.strip_suffix('U').unwrap_or(w);
    let int = if let Some(h) = plain.strip_prefix("0x").or(plain.strip_prefix("0X")) {
        u64::from_str_radix(h, 16)
    } else if let Some(h) = plain.strip_prefix("0b").or(plain.strip_prefix("0B")) {
        u64::from_str_radix(h, 2)
    } else if plain.contains(['.', 'e', 'E']) {
        return plain.parse::<f64>().map(|v| Tok::F64(v.to_bits())).map_err(|_| bad());
    } else if plain.len() > 1 && plain.starts_with('0') {
        u64::from_str_radix(&plain[1..], 8)
    } else {
        plain.parse::<u64>()
    };
    int.map(Tok::Int).map_err(|_| bad())
}
