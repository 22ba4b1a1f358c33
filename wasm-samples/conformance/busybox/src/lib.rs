//! The commands of `busybox` that the conformance suite starts most, alone and in the commonest lines of a shell.
//!
//! A sandbox has no processes, so what the shell starts are functions of this program. It knows lists (`;`, `&&`, `||`), `if` and
//! `while`, quotes, variables and redirection; it has no pipes, no substitution of commands and no background.

mod commands;
mod parse;
mod shell;

/// Runs the command that the arguments name, the first being the program's own name, and answers how it ended.
pub fn main(arguments: impl IntoIterator<Item = String>) -> i32 {
    let mut words = arguments.into_iter();
    let name = words.next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    let words: Vec<String> = words.collect();
    match (name.as_str(), words.as_slice()) {
        ("sh" | "ash", [flag, line, rest @ ..]) if flag == "-c" => shell::Shell::new(rest).run(line),
        // Upstream's image starts a shell, whose input is empty.
        ("sh" | "ash", _) => 0,
        _ => commands::run(&name, &words, &mut shell::Output::default()),
    }
}

/// Whether a program that is called so is a shell.
pub fn is_shell(name: &str) -> bool {
    matches!(name.rsplit('/').next(), Some("sh" | "ash"))
}
