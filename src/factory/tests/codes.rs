//! Every code of the taxonomy is raised by a test, somewhere in the repository.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "reads the repository's own sources")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use contracts::Code;

#[test]
fn every_code_has_a_test_that_raises_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut texts = String::new();
    for folder in ["src", "tests", "python"] {
        collect(&root.join(folder), &mut texts);
    }
    let named = |code: Code| {
        let text = code.as_str();
        let variant = format!("Code::{code:?}");
        contains_word(&texts, &variant) || contains_word(&texts, text)
    };
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !named(**code)).collect();
    assert!(missing.is_empty(), "codes without a test: {missing:?}");
}

fn contains_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(start, _)| {
        let after = text[start + word.len()..].chars().next();
        let before = text[..start].chars().next_back();
        let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !inside(after) && !inside(before)
    })
}

/// The text of the tests below a folder: whole files of test folders, and test modules within other files.
fn collect(folder: &Path, texts: &mut String) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            collect(&path, texts);
            continue;
        }
        let source = Path::new(name).extension().is_some_and(|kind| kind == "rs" || kind == "py");
        if !source || path.ends_with(file!().rsplit('/').next().unwrap()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let is_test = path.components().any(|part| part.as_os_str() == "tests") || name.ends_with("tests.rs");
        if is_test {
            texts.push_str(&text);
        } else if let Some(start) = text.find("#[cfg(test)]\nmod tests {") {
            texts.push_str(&text[start..]);
        }
    }
}
