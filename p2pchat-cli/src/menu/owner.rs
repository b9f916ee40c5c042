//! The menu of a room's owner.

use super::Menu;
use crate::{
    output::Tone,
    owner::Deed,
    sanitize, show,
    sign_in::{self, Answered},
};

const MENU: &str = "\nYour Room\n1. Kick a Member\n2. Ban a User\n3. Unban a User\n4. List Bans\n5. Change the Password\n\
                    6. Change the Capacity\n7. Change the Description\n8. Give it to a Member\n9. Back";

impl Menu<'_> {
    pub(super) async fn run_room(&mut self) -> Answered<()> {
        let room = self.ask("Room's name: ").await?;
        loop {
            if self.is_over {
                return Ok(());
            }
            self.console.out.line(MENU);
            let deed = match self.ask("Choose an option: ").await?.as_str() {
                "1" => Deed::Kick { user: self.ask("Username: ").await?, reason: self.why().await? },
                "2" => Deed::Ban { user: self.ask("Username: ").await?, reason: self.why().await? },
                "3" => Deed::Unban { user: self.ask("Username: ").await? },
                "4" => {
                    self.list_bans(&room).await;
                    continue;
                }
                "5" => {
                    let prompt = "Room's new password (Enter for none): ";
                    Deed::Password(Some(sign_in::ask_password(self.console, prompt).await?))
                }
                "6" => match self.ask("How many members at most: ").await?.parse() {
                    Ok(capacity) => Deed::Capacity(capacity),
                    Err(_) => {
                        self.console.out.say(Tone::Error, "A number is wanted");
                        continue;
                    }
                },
                "7" => Deed::Description(self.ask("What it is about: ").await?),
                "8" => Deed::Owner(self.ask("Username: ").await?),
                "9" => return Ok(()),
                "" => continue,
                _ => {
                    self.console.out.say(Tone::Error, "Choose a number from 1 to 9");
                    continue;
                }
            };
            let peer = self.session.peer.clone();
            match self.during(deed.run(&peer, &room)).await {
                Ok(()) => self.console.out.say(Tone::Success, &deed.done(&room)),
                Err(error) => self.fail(error),
            }
        }
    }

    async fn why(&mut self) -> Answered<Option<String>> {
        let reason = self.ask("Why (Enter for no reason): ").await?;
        Ok((!reason.is_empty()).then_some(reason))
    }

    async fn list_bans(&mut self, room: &str) {
        let peer = self.session.peer.clone();
        match self.during(peer.bans(room)).await {
            Ok(bans) if bans.is_empty() => {
                let notice = format!("Nobody is banned from #{}", sanitize::line(room));
                self.console.out.say(Tone::Notice, &notice);
            }
            Ok(bans) => show::bans(&bans).iter().for_each(|line| self.console.out.line(line)),
            Err(error) => self.fail(error),
        }
    }
}
