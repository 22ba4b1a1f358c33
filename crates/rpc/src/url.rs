//! The escapes of URLs, for whatever speaks HTTP here.

/// Undoes `%41`; `None` if an escape is broken or the result is not UTF-8.
#[must_use]
pub fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = tail.get(..2).and_then(|digits| str::from_utf8(digits).ok())?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Reads `a=b&c=d`, where `+` is a space; `None` if an escape is broken.
#[must_use]
pub fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    let read = |text: &str| unescape(&text.replace('+', " "));
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((read(name)?, read(value)?))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_broken_ones_found() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let read = pairs("labelSelector=app+in+(web%2Cfoo)&watch&x=%C3%A4");
        assert_eq!(read, Some(vec![pair("labelSelector", "app in (web,foo)"), pair("watch", ""), pair("x", "ä")]));
        for broken in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert_eq!(pairs(broken), None, "{broken}");
        }
    }
}
