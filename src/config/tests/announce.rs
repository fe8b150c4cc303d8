//! What a configuration announces, and what is said of what cannot be.

use super::*;
use crate::check::{Check, CheckKind, Statuses};

#[test]
fn all_but_service_and_address_may_be_left_out() {
    let text = format!("{REGISTRY}[[announce]]\nservice = \"greeter\"\naddress = \"10.0.0.5:8080\"\n");
    let config = read(None, &text, &Overrides::default()).unwrap();
    let [wish] = config.announce.as_slice() else { panic!("there is one") };
    let target = wish.target.clone();
    assert_eq!(target.announcer.location(), "zookeeper://127.0.0.1:2181?prefix=/micro-registry");
    let address = crate::announce::Advertised::As("10.0.0.5:8080".parse().unwrap());
    assert_eq!(*wish, Wish::new("greeter".parse().unwrap(), address, target));
}

#[test]
fn the_first_registry_that_takes_announcements_is_the_usual_one() {
    let text = "
        [[registry]]
        url = \"fixed:a=127.0.0.1:1\"
        [[registry]]
        name = \"shadow\"
        role = \"shadow\"
        url = \"zookeeper://h1\"
        [[registry]]
        name = \"old\"
        url = \"zookeeper://h2\"
        [[registry]]
        name = \"new\"
        url = \"zookeeper://h3\"
        [[announce]]
        service = \"greeter\"
        id = \"g\"
        address = 80
        [[announce]]
        service = \"greeter\"
        id = \"g\"
        address = 80
        registry = \"new\"
        [[announce]]
        service = \"greeter\"
        address = 80
        registry = \"old\"
        [[announce]]
        service = \"greeter\"
        address = 80
        format = \"nerve\"
        ";
    let config = read(None, text, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    let told =
        |target: &crate::announce::Target| format!("{:?} {}", target.name, target.announcer.location());
    let usual = "\"\" zookeeper://h2:2181?prefix=/micro-registry";
    let targets: Vec<String> = config.announce.iter().map(|wish| told(&wish.target)).collect();
    assert_eq!(targets[..3], [usual, "\"new\" zookeeper://h3:2181?prefix=/micro-registry", usual]);
    assert!(targets[3].starts_with("\"old/nerve\" zookeeper://h2:2181?prefix=/"), "{}", targets[3]);
    assert_eq!(told(&config.target.unwrap()), usual);
}

#[test]
fn every_way_to_leave_the_host_out_is_understood() {
    for (address, port) in [
        ("\":8080\"", 8080),
        ("8080", 8080),
        ("\"*:8080\"", 8080),
        ("\"0.0.0.0:8081\"", 8081),
        ("\"[::]:8082\"", 8082),
    ] {
        let text = format!(
            "{REGISTRY}[[announce]]\nservice = \"greeter\"\naddress = {address}\ninterface = \"eth0\"\n\
             check = {{ kind = \"http\", path = \"/h\", status = 204 }}\n"
        );
        let config = read(None, &text, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
        let interface = Some("eth0".to_owned());
        assert_eq!(config.announce[0].address, crate::announce::Advertised::Port { port, interface });
        let kind = CheckKind::Http { path: "/h".to_owned(), status: Statuses::new([204..=204]), host: None };
        assert_eq!(config.announce[0].check, Check { kind, ..Check::default() });
    }
}

#[test]
fn mistakes_are_told_with_place_and_cure() {
    let one = |rest: &str| format!("[[announce]]\nservice = \"greeter\"\naddress = \":80\"\n{rest}");
    let fixed = "[registry]\nurl = \"fixed:greeter=127.0.0.1:1\"\n";
    let two = "[[registry]]\nname = \"list\"\nurl = \"fixed:a=h:1\"\n[[registry]]\nurl = \"zookeeper://h\"\n";
    let file = "[registry]\nurl = \"file:services/all.toml\"\n";
    let mut said = String::new();
    for broken in [
        format!("{REGISTRY}[[announce]]\n"),
        format!("{REGISTRY}[announce]\nservice = \"greeter\"\n"),
        format!(
            "{REGISTRY}[[announce]]\nservice = \"a b\"\naddress = \"10.0.0.5\"\nid = \"\"\nweight = -1\n"
        ),
        format!(
            "{REGISTRY}[[announce]]\nservice = \"a\"\naddress = \"h:1\"\ninterface = \"eth0\"\nttl = \"1s\"\n"
        ),
        format!("{REGISTRY}{}", one("format = \"gomicro\"\nprotocol = \"http\"\nmetadata = 1\n")),
        format!("{REGISTRY}{}", one("check = { kind = \"htp\", fall = 0, intervall = \"1s\" }\n")),
        format!("{REGISTRY}{}", one("check = { path = \"health\", status = 700, address = \":80\" }\n")),
        format!("{REGISTRY}{}", one("check = { path = \"/health\", status = 200 }\n")),
        format!("{REGISTRY}{}{}", one("id = \"a\"\n"), one("id = \"a\"\n")),
        format!("{REGISTRY}{}", one("").repeat(65)),
        format!("{fixed}{}", one("")),
        format!("{file}{}{}", one(""), one("format = \"go-micro\"\n")),
        format!("{two}{}{}", one("registry = \"list\"\n"), one("registry = \"zokeeper\"\n")),
        format!("{two}{}{}", one("id = \"a\"\n"), one("id = \"a\"\nregistry = \"zookeeper\"\n")),
    ] {
        let mistakes = read(Some("w.toml"), &broken, &Overrides::default()).expect_err(&broken);
        let shown: String = broken.lines().take(8).map(|line| format!("    {line}\n")).collect();
        said.push_str(&format!("{shown}{mistakes}\n\n"));
    }
    insta::assert_snapshot!(said);
}
