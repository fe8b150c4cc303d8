//! What is changed in headers, paths and hosts: what is read, what is refused with a cure, and what is not shown.

use super::*;

const SERVICE: &str = "[[service]]\nname = \"greeter\"\n";

/// What is wrong with this of a service.
fn wrong(text: &str) -> Vec<String> {
    let read = read(None, &format!("{REGISTRY}{SERVICE}{text}"), &Overrides::default());
    let Err(mistakes) = read else { panic!("nothing is wrong with {text}") };
    mistakes.list().iter().map(|mistake| format!("{}: {}", mistake.key, mistake.message)).collect()
}

#[test]
fn what_is_not_a_headers_to_change_is_refused_with_what_to_write() {
    for (name, cure) in [
        ("Host", "write rewrite_host"),
        ("via", "leave it out"),
        ("connection", "it concerns one connection"),
        ("Transfer-Encoding", "the end of a message"),
        ("content-length", "the end of a message"),
        ("te", "it concerns one connection"),
        ("trailer", "the end of a message"),
        (":authority", "write rewrite_path, or rewrite_host"),
        ("x-wayside-mirror", "this proxy tells others by it"),
        ("a b", "write a name such as x-team"),
    ] {
        for (table, value) in [("set", "\"x\""), ("add", "[\"x\"]")] {
            let told = wrong(&format!("request_headers.{table} = {{ \"{name}\" = {value} }}\n"));
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with("service.request_headers.") && told[0].contains(cure), "{told:?}");
        }
        let told = wrong(&format!("response_headers.remove = [\"{name}\"]\n"));
        assert!(name == "a b" || told[0].contains(cure), "{told:?}");
    }
    for star in ["*", "x-*-y", "x-**", "a b*"] {
        let told = wrong(&format!("request_headers.remove = \"{star}\"\n"));
        assert!(told[0].contains("a star stands at the end"), "{star}: {told:?}");
    }
    let told = wrong("request_headers.set = { x-a = \"{provider}\" }\n");
    assert!(
        told[0].contains("the value of x-a is none: {provider} is known once a provider has answered"),
        "{told:?}"
    );
    let told = wrong("request_headers.set = { x-a = [\"b\", \"c\"], x-b = 7 }\n");
    assert!(told.len() == 2 && told[0].contains("x-a has no value; write a text in quotes"), "{told:?}");
}

#[test]
fn credentials_are_not_shown_and_a_change_is_told() {
    let with = |secret: &str, team: &str| {
        let text = format!(
            "{REGISTRY}{SERVICE}[service.request_headers]\n\
             set = {{ Authorization = \"{secret}\", x-team = \"{team}\" }}\nadd = {{ x-api-key = [\"{secret}\", \"b\"] }}\n\
             [[route]]\nservice = \"greeter\"\npath = \"/a\"\n[route.request_headers]\nset = {{ cookie = \"x\" }}\n\
             [[route]]\nservice = \"greeter\"\npath = \"/b\"\n[route.request_headers]\nset = {{ cookie = \"{secret}\" }}\n"
        );
        read(None, &text, &Overrides::default()).unwrap()
    };
    let (old, new) = (with("tiger", "a"), with("lion", "a"));
    assert!(!old.to_toml().contains("tiger"), "{}", old.to_toml());
    assert!(old.to_toml().contains("set = { authorization = \"***\", x-team = \"a\" }"), "{}", old.to_toml());
    assert!(old.to_toml().contains("add = { x-api-key = [\"***\", \"***\"] }"), "{}", old.to_toml());
    assert_eq!(
        old.wording().changed_secrets(new.wording()),
        ["route.request_headers.set", "service.request_headers.add", "service.request_headers.set"]
    );
    assert_eq!(old.wording().changed_secrets(with("tiger", "b").wording()), [""; 0]);
}

#[test]
fn credentials_that_requests_are_matched_by_are_not_shown_either() {
    let with = |secret: &str| {
        let text = format!(
            "{REGISTRY}[[route]]\nservice = \"greeter\"\nheaders = {{ Authorization = \"{secret}\", x-stage = \"a\", x-token = true }}\n\
             [route.fault]\nabort = 503\nheaders = {{ x_api_key = \"{secret}\" }}\n"
        );
        read(None, &text, &Overrides::default())
    };
    let (old, new) = (with("tiger").unwrap(), with("lion").unwrap());
    assert!(!old.to_toml().contains("tiger"), "{}", old.to_toml());
    let shown = "headers = { authorization = \"***\", x-stage = \"a\", x-token = true }";
    assert!(old.to_toml().contains(shown), "{}", old.to_toml());
    assert_eq!(old.wording().changed_secrets(new.wording()), ["route.fault.headers", "route.headers"]);
    let told = with("tiger\\u0000").err().unwrap().to_string();
    assert!(told.contains("this cannot be the value of a header") && !told.contains("tiger"), "{told}");
}

#[test]
fn a_mistake_tells_no_part_of_a_secret() {
    for value in ["\"Basic {tiger}\"", "\"tiger {\"", "[\"tiger\"]", "7"] {
        let told = wrong(&format!("request_headers.set = {{ authorization = {value} }}\n"));
        assert!(told.len() == 1 && !told[0].contains("tiger") && told[0].contains("; "), "{told:?}");
    }
    let told = wrong("[[route]]\nservice = \"greeter\"\nheaders = { authorization = 1234 }\n");
    assert!(told.len() == 1 && told[0].contains("this is no value; write a text"), "{told:?}");
}

#[test]
fn what_is_in_force_can_be_read_whatever_headers_are_called() {
    let text = format!(
        "{REGISTRY}{SERVICE}[service.request_headers]\nset = {{ \"x.y\" = \"1\", \"x!\" = \"2\" }}\nadd = {{ \"x.z\" = [\"3\", \"4\"] }}\n\
         [[route]]\nservice = \"greeter\"\nheaders = {{ \"a.b\" = \"c\" }}\n"
    );
    let config = read(None, &text, &Overrides::default()).unwrap();
    let again = read(None, config.to_toml(), &Overrides::default());
    assert_eq!(again.unwrap_or_else(|error| panic!("{error}")).to_toml(), config.to_toml());
    for (table, twice) in [
        ("request_headers.set", "{ x-a = \"1\", X-A = \"2\" }"),
        ("request_headers.add", "{ x-a = [\"1\"], X-A = \"2\" }"),
        ("fault = { abort = 503 }\n[[route]]\nservice = \"greeter\"\nheaders", "{ x-a = \"1\", X-A = true }"),
    ] {
        let told = wrong(&format!("{table} = {twice}\n"));
        assert!(told.len() == 1 && told[0].contains("X-A is there twice"), "{told:?}");
    }
    let told = wrong("request_headers.add = { x-a = [] }\n");
    assert!(told.len() == 1 && told[0].contains("x-a has no value; write a text"), "{told:?}");
}

#[test]
fn rewritings_are_checked() {
    let route = |text: &str| wrong(&format!("[[route]]\nservice = \"greeter\"\npath = \"/v1\"\n{text}\n"));
    for (text, told) in [
        (
            "rewrite_path = { pattern = \"^/(\", with = \"/\" }",
            "route.rewrite_path.pattern: \"^/(\" does not do: unclosed group; write one such as",
        ),
        (
            "rewrite_path = { pattern = \"^/\", with = \"/$1\" }",
            "route.rewrite_path.with: \"/$1\" does not do: the pattern has no group 1; ",
        ),
        ("rewrite_path = { with = \"/\" }", "route.rewrite_path.pattern: this key is missing; "),
        (
            "strip_prefix = true\nrewrite_path = { pattern = \"a\", with = \"b\" }",
            "route.rewrite_path: the route takes the prefix of its path off already; ",
        ),
        (
            "rewrite_path = { pattern = \"^/\", with = \"/a/../b\" }",
            "route.rewrite_path.with: \"/a/../b\" does not do: the path would have a segment that is . or ..; ",
        ),
        (
            "replace_prefix = \"/a<b\"",
            "route.replace_prefix: \"/a<b\" is not a path: it has characters that no path has",
        ),
        ("tunnel = true", "route.tunnel: who asks for a tunnel names a host and no path; leave path out"),
        ("rewrite_host = \"a b\"", "route.rewrite_host: \"a b\" is not a host"),
        ("rewrite_host = \"a:b\"", "route.rewrite_host: \"a:b\" is not a host: what is behind its colon"),
        ("rewrite_host = \"a:70000\"", "route.rewrite_host: \"a:70000\" is not a host: what is behind"),
        ("rewrite_host = \"a,b\"", "route.rewrite_host: \"a,b\" is not a host: a comma stands between"),
    ] {
        let found = route(text);
        assert!(found.len() == 1 && found[0].starts_with(told), "{text}: {found:?}");
    }
    for host in ["a", "a:80", "[::1]", "[::1]:80", "10.0.0.1:80"] {
        let text = format!("{REGISTRY}[[route]]\nservice = \"greeter\"\nrewrite_host = \"{host}\"\n");
        assert!(read(None, &text, &Overrides::default()).is_ok(), "{host}");
    }
    let text = format!("{REGISTRY}[[route]]\nservice = \"greeter\"\nrewrite_host = \"provider\"\n");
    let config = read(None, &text, &Overrides::default()).unwrap();
    let route = &config.routes.routes()[0];
    assert!(route.rules.host_of_provider && route.rewrite.host.is_none());
}

#[test]
fn ways_to_tell_whom_a_request_comes_from_are_flags_and_words() {
    use crate::proxy::Forwarding::{Both, None as Nothing, Standard, Usual};
    for (value, way) in [("true", Usual), ("false", Nothing), ("\"standard\"", Standard), ("\"both\"", Both)]
    {
        let config =
            read(None, &format!("{REGISTRY}[headers]\nforwarded = {value}\n"), &Overrides::default())
                .unwrap();
        assert_eq!(config.proxy.forwarding, way);
        assert!(config.to_toml().contains(&format!("forwarded = {value}\n")));
    }
    let mistakes = read(None, &format!("{REGISTRY}[headers]\nforwarded = \"rfc\"\n"), &Overrides::default());
    assert!(mistakes.err().unwrap().to_string().contains("write true for X-Forwarded-For"));
}

#[test]
fn a_secure_provider_of_a_list_is_written_once() {
    let text = "[registry.services]\na = [{ address = \"127.0.0.1:1\", tls = true, weight = 2 }]\n";
    let config = read(None, text, &Overrides::default()).unwrap();
    assert!(config.to_toml().parse::<toml::Table>().is_ok(), "{}", config.to_toml());
}

#[test]
fn nobody_is_announced_at_a_reserved_address() {
    let announce = |more: &str| {
        read(
            None,
            &format!("{REGISTRY}{more}[[announce]]\nservice = \"a\"\naddress = \"169.254.1.1:80\"\n"),
            &Overrides::default(),
        )
    };
    let told = announce("").err().unwrap().to_string();
    assert!(
        told.contains("announce.address: 169.254.1.1:80 is link-local, so nobody would call it; "),
        "{told}"
    );
    assert!(announce("[services]\nallow_addresses = [\"169.254.0.0/16\"]\n").is_ok());
}
