//! A pick as JSON, from which it can be made again in another process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Made, Picked, story};
use crate::balance::{Named, Notes, Wish};
use crate::catalog::scene::{Scene, SceneDocument, SceneError};

/// One pick as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MadeDocument {
    /// Where it led; none where it led nowhere.
    pub picked: Option<String>,
    /// Why it led nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing: Option<String>,
    /// What led away from the usual choice: `spill` or `panic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detour: Option<String>,
    /// What all its luck follows from, in hexadecimal digits.
    pub draw: String,
    /// The key of the request, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its course, in sentences.
    pub course: Vec<String>,
    /// Why it cannot be made again, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wish: Option<WishDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tried: Vec<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    trial: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tickets: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scene: Option<SceneDocument>,
}

/// A [`Wish`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WishDocument {
    Prefer(String),
    Address(String),
    Token(String),
    Id(String),
    Such { version: Option<String>, metadata: BTreeMap<String, String> },
}

/// Why a pick cannot be made again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplayError {
    /// What it depended on was not kept.
    #[error("{0}")]
    NotKept(String),
    /// What was written down cannot be so.
    #[error("what was written down of it is damaged")]
    Scene(#[from] SceneError),
    /// A text is not what it should be.
    #[error("what was written down of it is damaged: {text:?} is no {what}")]
    Text {
        /// The text.
        text: String,
        /// What it should be.
        what: &'static str,
    },
}

impl MadeDocument {
    /// A pick as JSON; with its scene if it is to be made again from it.
    pub fn of(made: &Made, with_scene: bool) -> Self {
        let (picked, nothing) = match &made.picked {
            Picked::Endpoint(address) => (Some(address.to_string()), None),
            Picked::Nothing(why) => (None, Some(why.to_string())),
            Picked::NoTrial => (None, Some(NO_TRIAL.to_owned())),
        };
        let figures = made.scene.as_ref().map(|scene| &*scene.figures).unwrap_or_default();
        let not_kept = |count: &usize| format!("the service had {count} providers, too many to be kept");
        Self {
            picked,
            nothing,
            detour: made.detour.map(|detour| detour.as_str().to_owned()),
            draw: hex(made.draw),
            key: made.key.map(hex),
            course: story(&made.notes.steps, figures),
            not_kept: made.scene.as_ref().err().map(not_kept),
            wish: made.wish.as_ref().map(WishDocument::of),
            tried: made.tried.clone(),
            trial: made.is_trial,
            tickets: made.notes.tickets.clone(),
            room: made.notes.room.map(hex),
            scene: made.scene.as_ref().ok().filter(|_| with_scene).map(SceneDocument::from),
        }
    }

    /// Makes the pick again, by the balancer itself, from what was written down; gives the same document of it, where it
    /// leads now, and whether that is where it led.
    ///
    /// # Errors
    /// When what it depended on was not kept, or is damaged.
    pub fn replay(&self) -> Result<(Self, bool), ReplayError> {
        let not_kept = || {
            let why = self.not_kept.clone().unwrap_or_else(|| "its scene was not kept".to_owned());
            ReplayError::NotKept(why)
        };
        let scene = Scene::try_from(self.scene.as_ref().ok_or_else(not_kept)?)?;
        let notes = Notes::taken(self.tickets.clone(), self.room.as_deref().map(number).transpose()?);
        let made = Made {
            draw: number(&self.draw)?,
            key: self.key.as_deref().map(number).transpose()?,
            wish: self.wish.as_ref().map(WishDocument::wish).transpose()?,
            tried: self.tried.clone(),
            is_trial: self.trial,
            scene: Ok(scene),
            notes,
            detour: None,
            picked: Picked::NoTrial,
        };
        let Ok((picked, notes)) = made.again() else { return Err(not_kept()) };
        let again = Self::of(&Made { picked, notes, ..made }, false);
        let is_same = again.picked == self.picked && again.nothing == self.nothing;
        Ok((again, is_same))
    }
}

/// What is said of a pick that looked for somebody to be tried again, and found nobody.
const NO_TRIAL: &str = "nobody was due to be tried again";

impl WishDocument {
    fn of(wish: &Wish) -> Self {
        match wish {
            Wish::Prefer(token) => Self::Prefer(token.to_string()),
            Wish::Only(Named::Address(address)) => Self::Address(address.to_string()),
            Wish::Only(Named::Token(token)) => Self::Token(token.to_string()),
            Wish::Only(Named::Id(id)) => Self::Id(id.to_string()),
            Wish::Such { version, metadata } => {
                Self::Such { version: version.as_deref().map(str::to_owned), metadata: metadata.clone() }
            }
        }
    }

    fn wish(&self) -> Result<Wish, ReplayError> {
        Ok(match self {
            Self::Prefer(token) => Wish::Prefer(parsed(token, "token")?),
            Self::Address(address) => Wish::Only(Named::Address(parsed(address, "address")?)),
            Self::Token(token) => Wish::Only(Named::Token(parsed(token, "token")?)),
            Self::Id(id) => Wish::Only(Named::Id(id.as_str().into())),
            Self::Such { version, metadata } => {
                Wish::Such { version: version.as_deref().map(Box::from), metadata: metadata.clone() }
            }
        })
    }
}

fn parsed<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, ReplayError> {
    text.parse().map_err(|_| ReplayError::Text { text: text.to_owned(), what })
}

fn number(text: &str) -> Result<u64, ReplayError> {
    let what = "number in hexadecimal digits";
    u64::from_str_radix(text, 16).map_err(|_| ReplayError::Text { text: text.to_owned(), what })
}

/// A number that is longer than what some readers of JSON take for one.
fn hex(number: u64) -> String {
    format!("{number:016x}")
}
