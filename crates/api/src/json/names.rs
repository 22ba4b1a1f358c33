//! Names of fields as people misspell them.

/// Names are compared and shown up to so many letters: no field of ours is longer.
const NAME_CHARS_MAX: usize = 64;

/// A text that is short enough for a message.
pub(crate) fn clipped(text: &str) -> &str {
    text.char_indices().nth(NAME_CHARS_MAX).map_or(text, |(end, _)| &text[..end])
}

/// The known name that is most like a misspelt one; `None` if none is close.
pub(super) fn nearest<'a>(known: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().take(NAME_CHARS_MAX).collect();
    let (far, near) = known.map(|known| (distance(&name, known), known)).min()?;
    (far <= name.len().div_ceil(3)).then_some(near)
}

/// How many letters must be inserted, removed or replaced; a swap counts as two, case as nothing.
fn distance(one: &[char], other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().take(NAME_CHARS_MAX).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
