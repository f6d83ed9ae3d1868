//! Man pages and shell completions of all four programs, made from the grammars of their command
//! lines. Made here, because nobody needs this where nodes run, and no other program knows all four.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// Where to write them.
#[derive(Args)]
pub struct Manual {
    /// A folder such as ~/.local/share: below it go man/man1, bash-completion/completions,
    /// zsh/site-functions and fish/vendor_completions.d
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Manual {
    /// Writes all files, in place of those there. `models` is our own grammar.
    pub fn write(self, models: Command) -> ExitCode {
        let written = files(models).and_then(|files| {
            files.iter().try_for_each(|(path, text)| write(&self.dir.join(path), text))?;
            Ok(files.len())
        });
        match written {
            Ok(count) => {
                println!("{count} files are in {}", self.dir.display());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("models manual: {error}");
                ExitCode::from(node::cli::BAD_ARGUMENTS)
            }
        }
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().expect("every file is in a folder of its kind");
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// What to write, and where.
type Files = Vec<(PathBuf, Vec<u8>)>;

fn files(models: Command) -> io::Result<Files> {
    let mut files = Vec::new();
    let programs = [node::cli::node_command(), node::cli::kv_command(), checker::cli::command()];
    for program in programs.into_iter().chain([models]) {
        let name = program.get_name().to_owned();
        for (shell, path) in [
            (Shell::Bash, format!("bash-completion/completions/{name}")),
            (Shell::Zsh, format!("zsh/site-functions/_{name}")),
            (Shell::Fish, format!("fish/vendor_completions.d/{name}.fish")),
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut program.clone(), &name, &mut script);
            files.push((path.into(), script));
        }
        // To ask for help is no command worth a page.
        let mut program = program.disable_help_subcommand(true);
        program.build();
        add_pages(program, &mut files)?;
    }
    Ok(files)
}

/// A page for this command, and one for each below it.
fn add_pages(command: Command, files: &mut Files) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        add_pages(below.clone(), files)?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name());
    files.push((format!("man/man1/{name}.1").into(), page(command)?));
    Ok(())
}

/// As `clap_mangen` makes it, but for what a help text ends with: that becomes sections.
fn page(command: Command) -> io::Result<Vec<u8>> {
    let ending = command.get_after_long_help().or(command.get_after_help());
    let ending = sections(&ending.map(ToString::to_string).unwrap_or_default());
    let has_commands = command.get_subcommands().any(|below| !below.is_hide_set());
    let has_version = command.get_version().is_some();
    let source = format!("Quorate {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).source(source).manual("Quorate");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    ending.to_writer(&mut page)?;
    if has_version {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// Of a text that is made of headings, each with indented lines below it. What has no heading is a
/// note. Lines stay as they are: many are tables, or commands.
fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut is_open = false;
    for line in text.lines() {
        let heading = line.strip_suffix(':').filter(|_| !line.starts_with(' '));
        if let Some(heading) = heading {
            if is_open {
                roff.control("fi", []);
            }
            roff.control("SH", [heading.to_uppercase().as_str()]).control("nf", []);
            is_open = true;
            continue;
        }
        if !is_open && !line.is_empty() {
            roff.control("SH", ["NOTES"]).control("nf", []);
            is_open = true;
        }
        // An empty line would be dropped.
        let line = line.strip_prefix("  ").unwrap_or(line);
        roff.text([roman(if line.is_empty() { " " } else { line })]);
    }
    if is_open {
        roff.control("fi", []);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(files: &Files, name: &str) -> String {
        let path = Path::new("man/man1").join(name);
        let (_, page) = files.iter().find(|(at, _)| *at == path).expect("it has a page");
        String::from_utf8(page.clone()).expect("it is text")
    }

    #[test]
    fn every_command_has_a_page_with_its_exit_codes() {
        let files =
            files(Command::new("models").subcommand(Command::new("check"))).expect("memory");
        for name in ["node", "node-init", "kv", "kv-cas", "checker", "checker-run", "checker-bench"]
        {
            let page = page_of(&files, &format!("{name}.1"));
            assert!(page.contains("SH \"EXIT CODES") || page.contains("SH EXIT CODES"), "{page}");
            assert!(page.contains("Quorate"), "{page}");
        }
        assert!(page_of(&files, "models-check.1").contains("models"));
        assert!(!files.iter().any(|(path, _)| path.ends_with("checker-help.1")));
    }

    #[test]
    fn every_program_completes_in_every_shell() {
        let files = files(Command::new("models")).expect("memory");
        for (shell, flag) in [
            ("bash-completion/completions/checker", "--nemesis-interval"),
            ("zsh/site-functions/_node", "--data"),
            ("fish/vendor_completions.d/kv.fish", "timeout-ms"),
        ] {
            let (_, script) = files.iter().find(|(path, _)| path == Path::new(shell)).expect(shell);
            assert!(String::from_utf8_lossy(script).contains(flag), "{shell}");
        }
    }

    #[test]
    fn a_text_becomes_sections_whose_lines_stay() {
        let page = sections("A note.\nMore.\n\nExamples:\n  a b\n\n  c\n").to_roff();
        let lines: Vec<&str> = page.lines().map(str::trim_end).collect();
        let expected = [
            ".SH NOTES",
            ".nf",
            "A note.",
            "More.",
            "",
            ".fi",
            ".SH EXAMPLES",
            ".nf",
            "a b",
            "",
            "c",
            ".fi",
        ];
        assert_eq!(lines, expected);
    }
}
