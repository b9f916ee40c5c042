//! Colours.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use p2pchat_core::proto::Username;
use ratatui::style::{Color, Modifier, Style};

use crate::{
    args::ColorChoice,
    config::{self, Config},
    output::Tone,
};

/// How things look.
#[derive(Debug, Clone)]
pub(super) struct Theme {
    success: Style,
    error: Style,
    notice: Style,
    prompt: Style,
    registry: Style,
    pub(super) mention: Style,
    pub(super) link: Style,
    pub(super) dim: Style,
    /// The bars above and below a conversation.
    pub(super) bar: Style,
    /// The chat on the list that is in front of the user.
    pub(super) chosen: Style,
    people: Vec<Color>,
    /// The terminal is told where links lead.
    pub(super) links: bool,
}

/// Colours for people that can be told apart and read, of the 256 that nearly every terminal has.
const ON_DARK: &[u8] = &[39, 43, 76, 81, 111, 141, 147, 167, 173, 178, 183, 203, 208, 214, 215];
const ON_LIGHT: &[u8] = &[18, 22, 24, 28, 53, 54, 58, 88, 90, 94, 124, 125, 130, 136, 161];

impl Theme {
    /// As the configuration says, and without colours where none are wanted.
    pub(super) fn new(config: &Config, color: ColorChoice) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !unwanted,
        };
        let theme = if colours { config.screen.theme } else { config::Theme::None };
        let mut all = Self::of(theme);
        if theme != config::Theme::None {
            for (name, colour) in &config.theme {
                // What names and colours there are was checked with the file.
                if let (Some(style), Ok(colour)) = (all.named(name), colour.parse::<Color>()) {
                    *style = style.fg(colour);
                }
            }
        }
        all
    }

    pub(super) fn of(theme: config::Theme) -> Self {
        let plain = Style::new();
        let reversed = plain.add_modifier(Modifier::REVERSED);
        let colours = |success, error, notice, prompt, registry, people: &[u8]| Self {
            success: plain.fg(success),
            error: plain.fg(error),
            notice: plain.fg(notice),
            prompt: plain.fg(prompt),
            registry: plain.fg(registry),
            mention: plain.fg(prompt).add_modifier(Modifier::BOLD),
            link: plain.fg(registry).add_modifier(Modifier::UNDERLINED),
            dim: plain.fg(Color::Indexed(244)),
            bar: reversed,
            chosen: reversed,
            people: people.iter().copied().map(Color::Indexed).collect(),
            links: true,
        };
        match theme {
            config::Theme::Dark => {
                colours(Color::Green, Color::Red, Color::Yellow, Color::Magenta, Color::Indexed(75), ON_DARK)
            }
            config::Theme::Light => colours(
                Color::Indexed(28),
                Color::Indexed(160),
                Color::Indexed(130),
                Color::Indexed(127),
                Color::Indexed(25),
                ON_LIGHT,
            ),
            config::Theme::None => Self {
                success: plain,
                error: plain.add_modifier(Modifier::BOLD),
                notice: plain,
                prompt: plain,
                registry: plain,
                mention: plain.add_modifier(Modifier::BOLD),
                link: plain.add_modifier(Modifier::UNDERLINED),
                dim: plain.add_modifier(Modifier::DIM),
                bar: reversed,
                chosen: reversed,
                people: Vec::new(),
                links: false,
            },
        }
    }

    pub(super) fn tone(&self, tone: Option<Tone>) -> Style {
        match tone {
            Some(Tone::Success) => self.success,
            Some(Tone::Error) => self.error,
            Some(Tone::Notice) => self.notice,
            Some(Tone::Prompt) => self.prompt,
            Some(Tone::Registry) => self.registry,
            Some(Tone::Name) => Style::new().add_modifier(Modifier::BOLD),
            None => Style::new(),
        }
    }

    /// The same for the same person, wherever and whenever.
    pub(super) fn person(&self, who: &Username) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let mut hasher = DefaultHasher::new();
        who.folded().hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % 1_000_003).unwrap_or_default();
        match at.checked_rem(self.people.len()).and_then(|at| self.people.get(at)) {
            Some(colour) => bold.fg(*colour),
            None => bold,
        }
    }

    fn named(&mut self, name: &str) -> Option<&mut Style> {
        Some(match name {
            "success" => &mut self.success,
            "error" => &mut self.error,
            "notice" => &mut self.notice,
            "prompt" => &mut self.prompt,
            "registry" => &mut self.registry,
            "mention" => &mut self.mention,
            "link" => &mut self.link,
            "dim" => &mut self.dim,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_one_colour_in_all_spellings() {
        let theme = Theme::of(config::Theme::Dark);
        let [a, b, c] = ["alice", "ALICE", "bob"].map(|name| theme.person(&name.parse().unwrap()));
        assert_eq!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn the_colours_are_the_prototypes() {
        let theme = Theme::of(config::Theme::Dark);
        let colour = |tone| theme.tone(Some(tone)).fg;
        assert_eq!(colour(Tone::Success), Some(Color::Green));
        assert_eq!(colour(Tone::Error), Some(Color::Red));
        assert_eq!(colour(Tone::Notice), Some(Color::Yellow));
        assert_eq!(colour(Tone::Prompt), Some(Color::Magenta));
    }

    #[test]
    fn without_colours_there_are_none() {
        let theme = Theme::new(&Config::default(), ColorChoice::Never);
        assert!(
            [Tone::Success, Tone::Error, Tone::Prompt]
                .iter()
                .all(|tone| theme.tone(Some(*tone)).fg.is_none())
        );
        assert_eq!(theme.person(&"bob".parse().unwrap()).fg, None);
    }
}
