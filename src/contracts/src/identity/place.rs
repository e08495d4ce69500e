//! Where in a JSON text a reader stopped, as a JSON pointer.

/// One level of nesting: a key, once it was read, or a place in an array.
enum Level {
    Object(Option<String>),
    Array(usize),
}

/// The pointer of the value that ends or breaks off after so many bytes of a JSON text of one line: the value that is
/// wrong or, where it is the last of its array or object, that array or object.
pub fn pointer(text: &str, bytes: usize) -> String {
    let mut levels = Vec::new();
    let mut rest = text.as_bytes().get(..bytes).unwrap_or_default().trim_ascii_end();
    rest = rest.strip_suffix(b",").unwrap_or(rest);
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, levels.last_mut()) {
            (b'{', _) => levels.push(Level::Object(None)),
            (b'[', _) => levels.push(Level::Array(0)),
            (b'}' | b']', _) => drop(levels.pop()),
            (b',', Some(Level::Object(key))) => *key = None,
            (b',', Some(Level::Array(index))) => *index += 1,
            (b'"', level) => {
                let (content, after) = string(rest);
                rest = after;
                if let Some(Level::Object(key @ None)) = level {
                    *key = Some(String::from_utf8_lossy(content).into_owned());
                }
            }
            _ => {}
        }
    }
    let step = |level: &Level| match level {
        Level::Object(key) => key.as_ref().map(|key| format!("/{key}")).unwrap_or_default(),
        Level::Array(index) => format!("/{index}"),
    };
    levels.iter().map(step).collect()
}

/// A string's content, after its opening quote, and what follows its closing one.
fn string(text: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'"' if !escaped => return (&text[..index], &text[index + 1..]),
            _ => escaped = *byte == b'\\' && !escaped,
        }
    }
    (text, &[])
}
