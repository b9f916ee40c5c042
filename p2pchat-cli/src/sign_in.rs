//! Asking for what the command line doesn't say: which registry, who, which password.

use p2pchat_core::{peer::RequestError, tokio::Error};

use crate::{
    args::{self, Address, Global},
    console::{Console, Input},
    exit::{Exit, Failure},
    output::Tone,
    sanitize,
    session::{self, Session},
};

/// What a dialogue with the user came to; `Err(Left)` if they left instead of answering.
pub(crate) type Answered<T> = Result<T, Left>;

/// The user left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left;

/// An answer that isn't blank, without the blanks around it.
pub(crate) async fn ask(console: &mut Console, prompt: &str) -> Answered<String> {
    loop {
        match console.ask(prompt).await {
            Input::Line(line) if !line.trim().is_empty() => return Ok(line.trim().to_owned()),
            Input::Line(_) => {}
            Input::Interrupted | Input::Closed => return Err(Left),
        }
    }
}

/// A password, as it was typed; empty if none was.
pub(crate) async fn ask_password(console: &mut Console, prompt: &str) -> Answered<String> {
    match console.ask_secret(prompt).await {
        Input::Line(password) => Ok(password),
        Input::Interrupted | Input::Closed => Err(Left),
    }
}

/// A password for a new account, typed twice on a terminal.
pub(crate) async fn ask_new_password(console: &mut Console) -> Answered<String> {
    loop {
        let password = ask_password(console, "Password: ").await?;
        if password.is_empty() {
            console.out.say(Tone::Error, "a password can't be empty");
        } else if !console.is_terminal() || ask_password(console, "The same again: ").await? == password {
            return Ok(password);
        } else {
            console.out.say(Tone::Error, "those were not the same");
        }
    }
}

/// The registry's address, from the command line or the user.
pub(crate) async fn registry(console: &mut Console, global: &Global) -> Answered<Address> {
    if let Some(registry) = &global.registry {
        return Ok(registry.clone());
    }
    loop {
        match args::tcp_address(&ask(console, "Registry's address (host or host:port): ").await?) {
            Ok(address) => return Ok(address),
            Err(problem) => console.out.say(Tone::Error, &problem),
        }
    }
}

/// Logs in as whom the command line or the user says; makes a new account first if the user wants one.
///
/// `known` is a password that need not be asked for. A user who sits there may try again; a pipe may not.
pub(crate) async fn log_in(
    console: &mut Console,
    global: &Global,
    mut known: Option<String>,
    session: &mut Session,
) -> Result<Answered<()>, Failure> {
    let mut user = global.user.clone();
    loop {
        let name = match user.take() {
            Some(name) => Ok(name),
            None => ask(console, "Username (/register for a new account): ").await,
        };
        let name = match name {
            Ok(name) if name == "/register" => match register(console, global, session).await? {
                Ok(name) => {
                    console.out.say(Tone::Success, &format!("logged in as {}", sanitize::line(&name)));
                    return Ok(Ok(()));
                }
                Err(Left) if console.is_told_to_end() => return Ok(Err(Left)),
                Err(Left) => continue,
            },
            Ok(name) if name == "/quit" => return Ok(Err(Left)),
            Ok(name) => name,
            Err(Left) => return Ok(Err(Left)),
        };
        let password = match known.take() {
            Some(password) => password,
            None => match ask_password(console, "Password: ").await {
                Ok(password) => password,
                Err(Left) => return Ok(Err(Left)),
            },
        };
        session.forget_events().await;
        let Ok(logged_in) = with_key(console, global, session, &name, &password).await else {
            return Ok(Err(Left));
        };
        match logged_in {
            Ok(()) => {
                console.out.say(Tone::Success, &format!("logged in as {}", sanitize::line(&name)));
                return Ok(Ok(()));
            }
            Err(failure) if console.is_terminal() && failure.exit != Exit::Registry => {
                console.out.say(Tone::Error, &failure.to_string());
            }
            Err(failure) => return Err(failure.context("login")),
        }
    }
}

/// Logs in with the account's key, whose passphrase is asked for first if it has one that isn't known.
pub(crate) async fn with_key(
    console: &mut Console,
    global: &Global,
    session: &Session,
    user: &str,
    password: &str,
) -> Answered<Result<(), Failure>> {
    let passphrase = match session.wants_passphrase(global, user) {
        Ok(true) => Some(ask_password(console, "Your link key's passphrase: ").await?),
        Ok(false) => None,
        Err(failure) => return Ok(Err(failure)),
    };
    console.unless_told_to_end(session.login(global, user, password, passphrase)).await
}

/// Makes an account and logs in with it. `Err(Left)` means back to the username.
async fn register(
    console: &mut Console,
    global: &Global,
    session: &mut Session,
) -> Result<Answered<String>, Failure> {
    let mut invite = session::invite(global)?;
    loop {
        let Ok(name) = ask(console, "New username: ").await else { return Ok(Err(Left)) };
        let Ok(password) = ask_new_password(console).await else { return Ok(Err(Left)) };
        session.forget_events().await;
        let Ok(registered) = register_invited(console, session, (&name, &password), &mut invite).await else {
            return Ok(Err(Left));
        };
        match registered.map_err(Failure::from) {
            Ok(()) => {
                let Ok(logged_in) = with_key(console, global, session, &name, &password).await else {
                    return Ok(Err(Left));
                };
                logged_in.map_err(|error| error.context("login"))?;
                return Ok(Ok(name));
            }
            Err(failure) if console.is_terminal() && failure.exit != Exit::Registry => {
                console.out.say(Tone::Error, &failure.to_string());
            }
            Err(failure) => return Err(failure.context("register")),
        }
    }
}

/// Creates an account. Where the registry wants an invitation, and none is known that isn't used up, its code is asked for.
pub(crate) async fn register_invited(
    console: &mut Console,
    session: &Session,
    (name, password): (&str, &str),
    invite: &mut Option<String>,
) -> Answered<Result<(), Error>> {
    // One that was refused is not to be tried again and again.
    let mut code = invite.take();
    loop {
        let registering = session::register(&session.peer, name, password, code.as_deref());
        match console.unless_told_to_end(registering).await? {
            Err(Error::Request(RequestError::InviteWanted)) => {
                code = Some(ask(console, "This registry wants an invitation. Its code: ").await?);
            }
            Err(error @ Error::Request(RequestError::NameTaken(_))) => {
                // The code is as good as it was.
                *invite = code;
                return Ok(Err(error));
            }
            registered => return Ok(registered),
        }
    }
}
