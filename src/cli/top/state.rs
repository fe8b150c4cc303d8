//! What the person at the terminal chose: order, row, filter, the service that is open.

use std::cmp::Ordering;

use clap::ValueEnum;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::look::{EndpointRow, Measured, ServiceRow};

/// What services are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    /// Requests in a second
    #[default]
    Rate,
    /// The share that failed
    Failed,
    /// The time within which 99 of 100 requests end
    P99,
    /// What is in flight
    InFlight,
    /// Those with the fewest of their providers in use
    Used,
    /// The name
    Name,
}

impl Sort {
    fn next(self) -> Self {
        let all = Self::value_variants();
        let at = all.iter().position(|sort| *sort == self).unwrap_or_default();
        all[(at + 1) % all.len()]
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Failed => "failed",
            Self::P99 => "p99",
            Self::InFlight => "in flight",
            Self::Used => "used",
            Self::Name => "name",
        }
    }

    /// What is most worth a look comes first.
    fn of_services(self, a: &ServiceRow, b: &ServiceRow) -> Ordering {
        let highest = |a: f64, b: f64| b.total_cmp(&a);
        match self {
            Self::Rate => highest(a.rate, b.rate),
            Self::Failed => highest(a.failed_share.unwrap_or(-1.0), b.failed_share.unwrap_or(-1.0)),
            Self::P99 => highest(a.p99_s.unwrap_or(-1.0), b.p99_s.unwrap_or(-1.0)),
            Self::InFlight => b.in_flight.cmp(&a.in_flight),
            Self::Used => (a.used * b.endpoints.max(1)).cmp(&(b.used * a.endpoints.max(1))),
            Self::Name => Ordering::Equal,
        }
    }

    fn of_endpoints(self, a: &EndpointRow, b: &EndpointRow) -> Ordering {
        let highest = |a: f64, b: f64| b.total_cmp(&a);
        match self {
            Self::Rate => highest(a.rate, b.rate),
            Self::Failed => highest(a.failed_share.unwrap_or(-1.0), b.failed_share.unwrap_or(-1.0)),
            Self::P99 => {
                highest(a.endpoint.latency_ms.unwrap_or(-1.0), b.endpoint.latency_ms.unwrap_or(-1.0))
            }
            Self::InFlight => b.endpoint.in_flight.cmp(&a.endpoint.in_flight),
            Self::Used => (a.endpoint.state == "available").cmp(&(b.endpoint.state == "available")),
            Self::Name => Ordering::Equal,
        }
    }
}

/// What was chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) sort: Sort,
    pub(super) is_reversed: bool,
    /// What a name has to contain.
    pub(super) filter: String,
    /// Whether the filter is being typed.
    pub(super) is_typing: bool,
    /// The service whose endpoints are shown.
    pub(super) open: Option<String>,
    /// The row chosen among services, and among endpoints: by name, so that it stays the same when rows change places.
    chosen: [Option<String>; 2],
    /// How many rows a page has, as last drawn.
    pub(super) page: usize,
}

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To draw again.
    Draw,
    /// To look again at once, since something else is to be shown.
    Look,
    /// To the end.
    Quit,
}

impl State {
    pub(super) fn new(sort: Sort) -> Self {
        Self { sort, ..Self::default() }
    }

    /// The services to be shown, in order.
    pub(super) fn services<'m>(&self, measured: &'m Measured) -> Vec<&'m ServiceRow> {
        let wanted = self.filter.to_lowercase();
        let is_wanted = |service: &&ServiceRow| service.name.to_lowercase().contains(&wanted);
        let mut rows: Vec<&ServiceRow> = measured.services.iter().filter(is_wanted).collect();
        rows.sort_by(|a, b| self.sort.of_services(a, b));
        self.turned(rows)
    }

    /// The endpoints to be shown, in order.
    pub(super) fn endpoints<'m>(&self, measured: &'m Measured) -> Vec<&'m EndpointRow> {
        let of_open = measured.opened.as_ref().filter(|(name, _)| Some(name) == self.open.as_ref());
        let mut rows: Vec<&EndpointRow> = of_open.map(|(_, rows)| rows.iter().collect()).unwrap_or_default();
        rows.sort_by(|a, b| self.sort.of_endpoints(a, b));
        self.turned(rows)
    }

    fn turned<T>(&self, mut rows: Vec<T>) -> Vec<T> {
        if self.is_reversed {
            rows.reverse();
        }
        rows
    }

    /// The names of the rows shown, by which one of them is chosen.
    pub(super) fn names(&self, measured: &Measured) -> Vec<String> {
        match self.open {
            None => self.services(measured).iter().map(|service| service.name.clone()).collect(),
            Some(_) => self.endpoints(measured).iter().map(|row| row.endpoint.address.clone()).collect(),
        }
    }

    /// Which of these rows is the chosen one: the first, until one was chosen that is among them.
    pub(super) fn at(&self, names: &[String]) -> usize {
        let chosen = self.chosen[usize::from(self.open.is_some())].as_ref();
        chosen.and_then(|chosen| names.iter().position(|name| name == chosen)).unwrap_or_default()
    }

    /// What a key does.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most keys of a keyboard do nothing here")]
    pub(super) fn press(&mut self, key: KeyEvent, measured: &Measured) -> Step {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Step::Quit;
        }
        if self.is_typing {
            self.typed(key.code);
            return Step::Draw;
        }
        let names = self.names(measured);
        let at = self.at(&names);
        let last = names.len().saturating_sub(1);
        let page = self.page.max(1);
        let to = match key.code {
            KeyCode::Char('q') => return Step::Quit,
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left | KeyCode::Char('h') => {
                if self.open.take().is_none() {
                    self.filter.clear();
                }
                return Step::Draw;
            }
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l')
                if self.open.is_none() && !names.is_empty() =>
            {
                self.chosen = [Some(names[at].clone()), None];
                self.open = Some(names[at].clone());
                return Step::Look;
            }
            KeyCode::Char('s') => {
                self.sort = self.sort.next();
                return Step::Draw;
            }
            KeyCode::Char('r') => {
                self.is_reversed = !self.is_reversed;
                return Step::Draw;
            }
            KeyCode::Char('/') if self.open.is_none() => {
                self.is_typing = true;
                return Step::Draw;
            }
            KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => at + 1,
            KeyCode::PageUp => at.saturating_sub(page),
            KeyCode::PageDown | KeyCode::Char(' ') => at + page,
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            _ => at,
        };
        self.chosen[usize::from(self.open.is_some())] = names.get(to.min(last)).cloned();
        Step::Draw
    }

    /// What a key does while the filter is typed.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most keys of a keyboard do nothing here")]
    fn typed(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(letter) => self.filter.push(letter),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Esc => {
                self.filter.clear();
                self.is_typing = false;
            }
            KeyCode::Enter | KeyCode::Up | KeyCode::Down => self.is_typing = false,
            _ => {}
        }
    }
}
