//! Opening links in another program.

use std::{
    env,
    process::{Command, Stdio},
    thread,
};

use crate::{
    exit::{Exit, Failure},
    sanitize,
    text::Link,
};

/// Starts the program of `argv` with the link as its last argument, and doesn't wait for it.
///
/// The link came from somebody else: no shell sees it, it can't be taken for an option, and the program is told nothing of
/// this one's settings, of which some are secret.
///
/// # Errors
///
/// If there is no program, it can't be started, or what is to be opened is neither a web page nor a letter.
pub(crate) fn open(argv: &[String], link: &Link) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(Exit::Failed, sanitize::line(&why));
    let target = link.target();
    let is_known = ["http://", "https://", "mailto:"]
        .iter()
        .any(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    if !is_known {
        return Err(failed(format!("{target}: only http, https and mailto are opened")));
    }
    let Some((program, arguments)) = argv.split_first() else {
        return Err(failed("no program to open links with".to_owned()));
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(target);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"P2PCHAT_")) {
        command.env_remove(name);
    }
    // What is typed at this program's terminal to stop it isn't meant for a browser.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(|error| failed(format!("can't start {program}: {error}")))?;
    // Somebody has to hear of its end, or it stays in the list of processes.
    thread::spawn(move || child.wait());
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::Path,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::text;

    fn link(message: &str) -> Link {
        text::parse(message).links.remove(0)
    }

    /// Asks until there is an answer: another program takes its time.
    #[allow(clippy::disallowed_methods)]
    fn within<T>(what: &str, answer: impl Fn() -> Option<T>) -> T {
        let give_up = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(answer) = answer() {
                return answer;
            }
            assert!(Instant::now() < give_up, "not in time: {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What a script writes once it is done.
    fn written(file: &Path) -> String {
        within("the script is done", || fs::read_to_string(file).ok().filter(|text| text.ends_with("done\n")))
    }

    /// The program is the shell, so that nobody finds the script still open for writing.
    fn browser(script: &Path, lines: &str) -> Vec<String> {
        fs::write(script, lines).unwrap();
        vec!["sh".to_owned(), script.to_str().unwrap().to_owned()]
    }

    #[test]
    fn a_link_is_one_argument_whatever_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("arguments");
        let script = format!(
            "exec >'{}'\nread line && echo input\nfor argument; do echo \"<$argument>\"; done\necho done\n",
            out.display()
        );
        let mut argv = browser(&folder.path().join("browser"), &script);
        open(&argv, &link("me@example.org")).unwrap();
        assert_eq!(written(&out), "<mailto:me@example.org>\ndone\n");
        fs::remove_file(&out).unwrap();
        argv.extend(["--new window", "$HOME"].map(str::to_owned));
        let target = "https://example.org/'a';touch$(id)&b=%20c?*#-x";
        open(&argv, &link(&format!("see {target} now"))).unwrap();
        assert_eq!(written(&out), format!("<--new window>\n<$HOME>\n<{target}>\ndone\n"));
        // Nothing else was made by what stands in the link.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let failure = open(&["/nowhere/browser\u{1b}".to_owned()], &link("https://example.org")).unwrap_err();
        assert!(failure.to_string().starts_with("can't start /nowhere/browser␛: "), "{failure}");
        let failure = open(&[], &link("https://example.org")).unwrap_err();
        assert_eq!(failure.to_string(), "no program to open links with");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_has_ended_is_not_left_in_the_list_of_processes() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("id");
        let script = format!("echo $$ >'{0}'\necho done >>'{0}'\n", out.display());
        open(&browser(&folder.path().join("browser"), &script), &link("https://example.org")).unwrap();
        let id = written(&out).lines().next().and_then(|id| id.parse().ok()).unwrap();
        let pid = rustix::process::Pid::from_raw(id).unwrap();
        within(&format!("{id} is gone"), || rustix::process::test_kill_process(pid).err());
    }
}
