//! What `wayside top` draws: lines for a terminal of any size, made from what was measured and chosen.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anstyle::Style;

use super::super::amounts::{latency, rate, share, span, span_ms};
use super::super::color::{BAD, FAIR, GOOD, TITLE, of_state};
use super::super::table::{self, Column, Line, Piece};
use super::look::{EndpointRow, Measured, ServiceRow};
use super::state::{Sort, State};

/// A share of failures from which on it is shown as ill.
const FAILED_ILL: f64 = 0.01;

/// All that is drawn.
#[derive(Debug)]
pub(super) struct Screen<'m> {
    pub(super) measured: &'m Measured,
    /// Who is asked.
    pub(super) admin: &'m str,
    /// How often.
    pub(super) interval: Duration,
    /// Why it cannot be asked, while that is so; what was seen last is shown meanwhile.
    pub(super) trouble: Option<&'m str>,
}

impl Screen<'_> {
    /// As many lines as the terminal has, each no wider than it is. Notes in `state` how many rows there is room for.
    pub(super) fn lines(&self, state: &mut State, width: usize, height: usize) -> Vec<Line> {
        let mut lines = vec![self.headline(), self.second_line(state)];
        let (mut rows, why) = match &state.open {
            None => (self.services(state, width), None),
            Some(_) => (self.endpoints(state, width), self.why(state)),
        };
        let title = rows.remove(0);
        lines.push(title);
        let below = vec![why.unwrap_or_default(), footer(state)];
        let room = height.saturating_sub(lines.len() + below.len());
        state.page = room;
        let names = state.names(self.measured);
        let at = state.at(&names);
        // The chosen row stays in sight: rows move by pages.
        let first = at.checked_div(room).unwrap_or_default() * room;
        for (number, row) in rows.into_iter().enumerate().skip(first).take(room) {
            lines.push(if number == at && !names.is_empty() { row.over(width, Style::invert) } else { row });
        }
        lines.resize(height.saturating_sub(below.len()), Line::default());
        lines.extend(below);
        lines.truncate(height);
        lines.into_iter().map(|line| line.cut(width)).collect()
    }

    /// The same without a terminal: every service, and nothing to be chosen.
    pub(super) fn whole(&self, state: &State, width: usize) -> Vec<Line> {
        let above = [self.headline(), self.second_line(state)].into_iter().map(|line| line.cut(width));
        above.chain(self.services(state, width)).collect()
    }

    fn headline(&self) -> Line {
        let Measured { version, started, .. } = self.measured;
        let mut line = Line::default();
        line.push(TITLE, format!("wayside {version}"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
        let up = if *started > 0.0 {
            format!(", up {}", span(Duration::from_secs_f64((now - started).max(0.0))))
        } else {
            String::new()
        };
        line.push(Style::new(), format!(" at {}{up}  ", self.admin));
        if let Some(trouble) = self.trouble {
            line.push(BAD, trouble);
            return line;
        }
        let (all, failed) = self.measured.total();
        line.push(Style::new(), format!("{} requests/s", rate(all)));
        push_failed(&mut line, failed);
        line.push(Style::new(), format!("  every {}", humantime::format_duration(self.interval)));
        line
    }

    /// The registries, or the service that is open.
    fn second_line(&self, state: &State) -> Line {
        let mut line = Line::default();
        if let Some(open) = &state.open {
            let service = self.measured.services.iter().find(|service| service.name == *open);
            line.push(TITLE, open);
            let Some(service) = service else {
                line.push(BAD, "  is followed no more");
                return line;
            };
            line.push(Style::new(), "  list ");
            line.push(of_state(&service.list.state), &service.list.state);
            line.push(
                Style::new(),
                format!(", {}/{} used, {}/s", service.used, service.endpoints, rate(service.rate)),
            );
            push_failed(&mut line, service.failed_share);
            if service.p50_s.is_some() {
                let (p50, p99) = (latency(service.p50_s), latency(service.p99_s));
                line.push(Style::new(), format!(", p50 {p50}, p99 {p99}"));
            }
            return line;
        }
        for registry in &self.measured.registries {
            let gap = if line.0.is_empty() { "" } else { "  " };
            line.push(Style::new(), format!("{gap}{} ", registry.title()));
            line.push(of_state(&registry.state), format!("{} {}", registry.state, span_ms(registry.for_ms)));
            if let Some(cause) = &registry.cause {
                line.push(Style::new(), format!(": {cause}"));
            }
        }
        line
    }

    /// A line of titles, and one for each service.
    fn services(&self, state: &State, width: usize) -> Vec<Line> {
        let columns: &[(Column, Option<Sort>)] = &[
            (Column::left("SERVICE"), Some(Sort::Name)),
            (Column::left("LIST"), None),
            (Column::right("USED"), Some(Sort::Used)),
            (Column::right("RATE/s"), Some(Sort::Rate)),
            (Column::right("FAILED"), Some(Sort::Failed)),
            (Column::right("P50"), None),
            (Column::right("P99"), Some(Sort::P99)),
            (Column::right("IN FLIGHT"), Some(Sort::InFlight)),
        ];
        let rows = state.services(self.measured).into_iter().map(service).collect();
        let mut lines = table(columns, state, rows, width);
        if lines.len() == 1 {
            lines.push(Line::plain(match state.filter.as_str() {
                "" => "no service is followed: one is from its first request on, or when it is declared",
                _ => "no service has this in its name",
            }));
        }
        lines
    }

    /// A line of titles, and one for each endpoint of the service that is open.
    fn endpoints(&self, state: &State, width: usize) -> Vec<Line> {
        let columns: &[(Column, Option<Sort>)] = &[
            (Column::left("PROVIDER"), Some(Sort::Name)),
            (Column::left("STATE"), Some(Sort::Used)),
            (Column::left("ZONE"), None),
            (Column::right("WEIGHT"), None),
            (Column::right("RATE/s"), Some(Sort::Rate)),
            (Column::right("FAILED"), Some(Sort::Failed)),
            (Column::right("LATENCY"), Some(Sort::P99)),
            (Column::right("IN FLIGHT"), Some(Sort::InFlight)),
        ];
        let rows = state.endpoints(self.measured).into_iter().map(endpoint).collect();
        let mut lines = table(columns, state, rows, width);
        if lines.len() == 1 {
            lines.push(Line::plain("it has no providers, or none is known yet"));
        }
        lines
    }

    /// Why the endpoint that is chosen is in its state.
    fn why(&self, state: &State) -> Option<Line> {
        let rows = state.endpoints(self.measured);
        let chosen = rows.get(state.at(&state.names(self.measured)))?;
        let why = chosen.endpoint.why.as_ref()?;
        let mut line = Line::plain(format!("{} ", chosen.endpoint.address));
        line.push(of_state(&chosen.endpoint.state), &chosen.endpoint.state);
        line.push(Style::new(), format!(": {why}"));
        Some(line)
    }
}

fn service(row: &ServiceRow) -> Vec<Piece> {
    let used = match row.used {
        0 => BAD,
        used if used < row.endpoints => FAIR,
        _ => Style::new(),
    };
    vec![
        Piece::plain(&row.name),
        Piece::new(of_state(&row.list.state), &row.list.state),
        Piece::new(used, format!("{}/{}", row.used, row.endpoints)),
        Piece::plain(rate(row.rate)),
        Piece::new(failed_style(row.failed_share), share(row.failed_share)),
        Piece::plain(latency(row.p50_s)),
        Piece::plain(latency(row.p99_s)),
        Piece::plain(row.in_flight.to_string()),
    ]
}

fn endpoint(row: &EndpointRow) -> Vec<Piece> {
    let endpoint = &row.endpoint;
    vec![
        Piece::plain(&endpoint.address),
        Piece::new(of_state(&endpoint.state), &endpoint.state),
        Piece::plain(endpoint.zone.clone().unwrap_or_else(|| "-".to_owned())),
        Piece::plain(endpoint.weight.to_string()),
        Piece::plain(rate(row.rate)),
        Piece::new(failed_style(row.failed_share), share(row.failed_share)),
        Piece::plain(latency(endpoint.latency_ms.map(|ms| ms / 1e3))),
        Piece::plain(endpoint.in_flight.to_string()),
    ]
}

/// Columns that are left out first where the terminal is too narrow for all.
const LEFT_OUT: [&str; 6] = ["P50", "LIST", "WEIGHT", "ZONE", "IN FLIGHT", "P99"];

/// Lines of a table in which the title of what it is ordered by stands out.
fn table(
    columns: &[(Column, Option<Sort>)],
    state: &State,
    mut rows: Vec<Vec<Piece>>,
    width: usize,
) -> Vec<Line> {
    let mut titled: Vec<Column> = columns.iter().map(|(column, _)| *column).collect();
    let mut lines = table::lines(&titled, TITLE, rows.clone(), width);
    for title in LEFT_OUT {
        let Some(at) = titled.iter().position(|column| column.title == title) else { continue };
        if lines.iter().all(|line| line.width() <= width) {
            break;
        }
        titled.remove(at);
        rows.iter_mut().for_each(|row| drop(row.remove(at)));
        lines = table::lines(&titled, TITLE, rows.clone(), width);
    }
    let of = columns.iter().find(|(_, sort)| *sort == Some(state.sort)).map(|(column, _)| column.title);
    let ordered = lines[0].0.iter_mut().find(|piece| Some(piece.text.as_str()) == of);
    if let Some(piece) = ordered {
        piece.style = piece.style.underline();
    }
    lines
}

/// The share that failed, where there was anything to fail.
fn push_failed(line: &mut Line, failed: Option<f64>) {
    if failed.is_some() {
        line.push(Style::new(), ", ");
        line.push(failed_style(failed), format!("{} failed", share(failed)));
    }
}

fn failed_style(failed: Option<f64>) -> Style {
    match failed {
        Some(failed) if failed >= FAILED_ILL => BAD,
        Some(failed) if failed > 0.0 => FAIR,
        Some(_) => GOOD,
        None => Style::new(),
    }
}

fn footer(state: &State) -> Line {
    let mut line = Line::default();
    if state.is_typing {
        line.push(TITLE, format!("filter: {}_", state.filter));
        line.push(Style::new(), "   enter keep  esc clear");
        return line;
    }
    let order =
        format!("s sort ({}{})", state.sort.as_str(), if state.is_reversed { ", reversed" } else { "" });
    let filter =
        if state.filter.is_empty() { "/ filter".to_owned() } else { format!("/ filter ({})", state.filter) };
    let keys = match state.open {
        None => format!("q quit  arrows choose  enter open  {order}  r reverse  {filter}"),
        Some(_) => format!("q quit  arrows choose  esc back  {order}  r reverse"),
    };
    line.push(Style::new().dimmed(), keys);
    line
}
