//! The page, seen in a real browser: what it shows, that it stays up to date, and that everybody can use it.

use std::fmt::Write as _;
use std::path::PathBuf;

use http::StatusCode;
use serde_json::json;
use tempfile::TempDir;

use crate::support::browser::Browser;
use crate::support::patience::at_last;
use crate::support::ports::free;
use crate::support::program::{Program, get};
use crate::support::provider::Echo;

/// A program that follows a file, and a browser.
struct Watched {
    program: Program,
    browser: Browser,
    file: PathBuf,
    _folder: TempDir,
}

/// A service, and its providers as they stand in the file.
type Listed<'a> = (&'a str, &'a [String]);

impl Watched {
    async fn start(services: &[Listed<'_>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("providers.toml");
        write(&file, services);
        let program = Program::run(&["--registry", &format!("file:{}", file.display())]).await;
        for (service, _) in services {
            get(program.listeners()[0], &format!("/{service}/")).await;
        }
        let browser = Browser::start().await;
        Self { program, browser, file, _folder: folder }
    }

    async fn open(&self, fragment: &str) {
        self.browser.open(&format!("http://{}/{fragment}", self.program.admin())).await;
    }

    /// Nothing was wrong so far, and nothing is wider than the screen.
    async fn is_sound(&self) {
        assert_eq!(self.browser.complaints().await, Vec::<String>::new());
        let wider = "return [document.documentElement.scrollWidth - innerWidth, \
             ...[...document.querySelectorAll('body *')].filter(it => it.getClientRects().length > 0 && \
                !it.matches('.skip') && it.getBoundingClientRect().right > innerWidth + 1).map(it => it.outerHTML.slice(0, 120))]";
        let wider = self.browser.run(wider).await;
        assert!(wider[0].as_f64().unwrap() <= 0.0 && wider[1].is_null(), "{wider}");
    }
}

fn write(file: &std::path::Path, services: &[Listed<'_>]) {
    let mut text = "[services]\n".to_owned();
    for (service, providers) in services {
        writeln!(text, "{service} = [{}]", providers.join(", ")).unwrap();
    }
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, file).unwrap();
}

fn at(echo: &Echo) -> String {
    format!("\"{}\"", echo.address())
}

/// What is shown in the row of a service.
fn row(service: &str) -> String {
    format!(
        "[...document.querySelectorAll('#service-rows tr')].find(it => it.querySelector('a').textContent === '{service}')"
    )
}

#[tokio::test]
async fn a_change_of_the_registry_is_seen_at_once() {
    let echoes = Echo::several(2).await;
    let one = [at(&echoes[0])];
    let watched = Watched::start(&[("greeter", &one), ("users", &one)]).await;
    let Watched { browser, program, .. } = &watched;
    watched.open("").await;
    browser.shows("document.getElementById('live-state').textContent === 'live'").await;
    browser.shows(&format!("{}.innerText.includes('1 of 1')", row("greeter"))).await;
    browser.shows("document.getElementById('registry').textContent === 'file up'").await;
    browser.run("window.same = true").await;

    write(&watched.file, &[("greeter", &[at(&echoes[0]), at(&echoes[1])]), ("users", &one)]);
    browser.shows(&format!("{}.innerText.includes('2 of 2')", row("greeter"))).await;
    browser.run("location.hash = '#/events'").await;
    let added = format!("document.getElementById('events').innerText.includes('{}')", echoes[1].address());
    browser.shows(&added).await;
    assert_eq!(browser.run("return window.same").await, json!(true), "it was not loaded anew");

    // Requests come to be seen as well, some seconds later: that is how often history takes a step.
    at_last("requests are answered", async || {
        get(program.listeners()[0], "/greeter/").await.status() == StatusCode::OK
    })
    .await;
    browser.run("location.hash = '#/service/greeter'").await;
    browser.shows("document.querySelectorAll('#detail-charts svg polyline').length === 5").await;
    browser.shows("document.getElementById('detail-summary').textContent.includes('requests/s')").await;
    watched.is_sound().await;
}

#[tokio::test]
async fn a_service_is_found_and_opened_by_keyboard() {
    let echo = Echo::start().await;
    let hostile = "<img src=x onerror=document.title=1>";
    let provider = format!("{{ id = \"{hostile}\", address = \"{}\" }}", echo.address());
    let providers = [provider];
    let services: Vec<String> = (0..60).map(|number| format!("service-{number:02}")).collect();
    let listed: Vec<Listed<'_>> =
        services.iter().map(|service| (service.as_str(), providers.as_slice())).collect();
    let watched = Watched::start(&listed).await;
    let browser = &watched.browser;
    watched.open("").await;
    browser.shows("document.querySelectorAll('#service-rows tr').length === 50").await;
    browser.shows("document.getElementById('service-pages').innerText.includes('page 1 of 2')").await;
    browser.press("/").await;
    browser.shows("document.activeElement.id === 'filter'").await;
    browser.press("ICE-57").await;
    browser.shows("document.querySelectorAll('#service-rows tr').length === 1").await;
    browser.shows("document.getElementById('services-count').textContent === '1 of 60'").await;
    // Past the choice beside it, and the heads that sort.
    for _ in 0..20 {
        browser.press(Browser::TAB).await;
        if browser.run("return document.activeElement.textContent").await == json!("service-57") {
            break;
        }
    }
    browser.press(Browser::ENTER).await;
    browser.shows("location.hash === '#/service/service-57'").await;
    browser.shows("document.activeElement.id === 'detail-title'").await;
    browser.shows("document.getElementById('detail-title').textContent === 'service-57'").await;
    browser.shows("document.querySelectorAll('#provider-rows tr').length === 1").await;
    browser.shows(&format!("document.getElementById('provider-rows').innerText.includes('{hostile}')")).await;
    assert_eq!(browser.run("return document.images.length").await, json!(0), "what a record says is text");
    assert_eq!(browser.run("return document.title").await, json!("service-57 – Wayside"));
    watched.is_sound().await;
}

#[tokio::test]
async fn trouble_is_told_with_its_reason_on_a_phone_and_in_the_dark() {
    let echo = Echo::start().await;
    let dead = format!("127.0.0.1:{}", free::<1>()[0]);
    let providers = [at(&echo), format!("\"{dead}\"")];
    let watched = Watched::start(&[("greeter", &providers), ("gone", &[format!("\"{dead}\"")])]).await;
    let Watched { browser, program, .. } = &watched;
    let requests = program.listeners()[0];
    at_last("the dead one was tried", async || {
        get(requests, "/greeter/").await;
        get(requests, "/gone/").await;
        program.ask_json("/services/greeter").await["states"]["unreachable"] == json!(1)
    })
    .await;
    browser.widen(380).await;
    browser.prefer("dark").await;
    watched.open("").await;
    browser.shows(&format!("{}.innerText.includes('unreachable')", row("greeter"))).await;
    browser.shows("document.querySelector('#service-rows a').textContent === 'gone'").await;
    let ground = browser.run("return getComputedStyle(document.body).backgroundColor").await;
    assert_eq!(ground, "rgb(21, 24, 27)");
    watched.is_sound().await;

    watched.open("#/service/greeter").await;
    let first = "document.querySelector('#provider-rows tr').innerText";
    browser.shows(&format!("{first}.includes('{dead}') && {first}.includes('unreachable')")).await;
    browser.shows(&format!("{first}.includes('connections failed')")).await;
    let happened = "document.getElementById('detail-events').innerText";
    browser.shows(&format!("{happened}.includes('unreachable') && {happened}.includes('refuse')")).await;
    watched.is_sound().await;
    watched.open("#/service/gone").await;
    let failures = "document.getElementById('detail-failures').innerText";
    browser.shows(&format!("{failures}.includes('503') || {failures}.includes('502')")).await;
    watched.is_sound().await;

    for (view, said) in [("registries", "providers.toml"), ("events", "added"), ("explain", "Headers")] {
        watched.open(&format!("#/{view}")).await;
        browser.shows(&format!("document.getElementById('view-{view}').innerText.includes('{said}')")).await;
        watched.is_sound().await;
    }
    browser.prefer("light").await;
    browser.shows("getComputedStyle(document.body).backgroundColor === 'rgb(246, 246, 244)'").await;
}

#[tokio::test]
async fn a_question_is_answered_or_refused_with_a_cause() {
    let echo = Echo::start().await;
    let watched = Watched::start(&[("greeter", &[at(&echo)])]).await;
    let browser = &watched.browser;
    watched.open("#/explain").await;
    browser.run("document.getElementById('explain-url').value = 'http://greeter/'").await;
    browser.run("document.querySelector('#explain button').click()").await;
    let told = "document.getElementById('explained').innerText";
    browser.shows(&format!("{told}.includes('It would go to {} of greeter.')", echo.address())).await;
    browser.shows(&format!("{told}.includes('round-robin') && {told}.includes('Candidates 1')")).await;
    watched.is_sound().await;
    browser.run("document.getElementById('explain-url').value = 'http://../'").await;
    browser.run("document.querySelector('#explain button').click()").await;
    browser.shows(&format!("{told}.includes('It would go nowhere')")).await;
    browser.run("document.getElementById('past-id').value = 'nobody'").await;
    browser.run("document.querySelector('#past button').click()").await;
    browser.shows(&format!("{told}.includes('no request with the id \"nobody\" is remembered')")).await;
}

#[tokio::test]
async fn a_request_that_failed_is_explained_from_the_list_of_failures() {
    let dead = format!("127.0.0.1:{}", free::<1>()[0]);
    let watched = Watched::start(&[("gone", &[format!("\"{dead}\"")])]).await;
    let browser = &watched.browser;
    watched.open("#/service/gone").await;
    let past = "document.querySelector('#detail-failures a')";
    browser.shows(&format!("{past} !== null")).await;
    browser.run(&format!("{past}.click()")).await;
    let told = "document.getElementById('explained').innerText";
    browser.shows(&format!("{told}.includes('It was answered with 50') && {told}.includes('{dead}')")).await;
    browser.shows(&format!("{told}.includes('Remembered')")).await;
    watched.is_sound().await;
}
