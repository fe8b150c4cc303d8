//! What real programs wrote, read in every format that has such records: how much of it is providers, and why the rest is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use wayside::provider::ServiceName;
use wayside::registry::format::{Dubbo, Entry, Folder, Format, ServerSet, kinds};

/// What was read: by file, format and service.
const TABLE: &str = "\
dump                          format                   service                                  records providers rules  skipped
go-micro-1.18-and-2.9.json    go-micro                 /micro-registry/go.micro.http.broker           2         2     0  -
go-micro-1.18-and-2.9.json    go-micro                 /micro-registry/greeter                        4         4     0  -
go-micro-1.18-and-2.9.json    go-micro                 /micro-registry/greeter.grpc                   1         1     0  -
go-micro-1.18-and-2.9.json    go-micro                 /micro-registry/greeter.web                    2         2     0  -
go-micro-after-kill9.json     go-micro                 /micro-registry/greeter                        4         4     0  -
etcd-go-micro.json            go-micro                 /micro/registry/go.micro.http.broker           1         1     0  -
etcd-go-micro.json            go-micro                 /micro/registry/greeter                        2         2     0  -
etcd-go-micro.json            go-micro                 /micro/registry/greeter.web                    1         1     0  -
apache-dubbo-2.6.12.json      dubbo                    /dubbo/DubboRegister$OrderService              4         3     1  -
apache-dubbo-2.6.12.json      dubbo                    /dubbo/DubboRegister$OrderService:1.0.0        4         2     1  1 filtered
apache-dubbo-2.6.12.json      dubbo                    /dubbo/DubboRegister$UserService               2         2     0  -
apache-dubbo-2.6.12.json      dubbo group=blue         /dubbo/DubboRegister$OrderService              4         1     1  2 filtered
curator-5.4.0.json            curator                  /discovery/bean/payments                       1         1     0  -
curator-5.4.0.json            curator                  /discovery/newfmt/payments                     2         1     0  1 disabled
curator-5.4.0.json            curator                  /discovery/string/inventory                    1         1     0  -
curator-5.4.0.json            curator                  /discovery/void/both                           1         1     0  -
curator-5.4.0.json            curator                  /discovery/void/host                           1         1     0  -
curator-5.4.0.json            curator                  /discovery/void/noport                         1         0     0  1 address
curator-5.4.0.json            curator                  /discovery/void/orders                         3         3     0  -
curator-5.4.0.json            curator                  /discovery/void/sslonly                        1         1     0  -
curator-5.4.0.json            curator                  /discovery/void/static                         1         1     0  -
curator-5.4.0.json            curator                  /discovery/void/v6                             1         1     0  -
curator-5.4.0.json            curator                  /services/customer-service                     2         1     0  1 disabled
twitter-serverset-0.3.9.json  serverset                /twitter/service/search/prod/api               4         4     0  -
twitter-serverset-0.3.9.json  serverset endpoint=http  /twitter/service/search/prod/api               4         3     0  1 filtered
nerve-0.9.json                nerve                    /nerve/services/enc                            1         1     0  -
nerve-0.9.json                nerve                    /nerve/services/web                            2         2     0  -
";

/// The records of a dump by the folder they lie in: names and data.
type Folders = BTreeMap<String, Vec<(String, String)>>;

fn read(file: &str) -> Folders {
    let path = format!("{}/tests/fixtures/znodes/{file}", env!("CARGO_MANIFEST_DIR"));
    let dump: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut folders = Folders::new();
    let mut put = |path: &str, data: &Value| {
        let (folder, name) = path.rsplit_once('/').unwrap();
        let records = folders.entry(folder.to_owned()).or_default();
        records.push((name.to_owned(), data.as_str().unwrap().to_owned()));
    };
    if let Some(pairs) = dump.as_array() {
        pairs.iter().for_each(|pair| put(pair["key"].as_str().unwrap(), &pair["value"]));
    } else {
        let leaves = dump["nodes"].as_array().unwrap().iter().filter(|node| node["children"] == 0);
        leaves.for_each(|node| put(node["path"].as_str().unwrap(), &node["text"]));
    }
    folders
}

/// A dump, the words for a format, the format, where the services lie, and which.
type Case = (&'static str, &'static str, Arc<dyn Format>, &'static str, &'static [&'static str]);

/// One line of the table.
fn line(
    file: &str,
    words: &str,
    format: &dyn Format,
    prefix: &str,
    service: &str,
    folders: &Folders,
) -> String {
    let name: ServiceName = service.parse().unwrap();
    let (mut records, mut providers, mut rules) = (0, 0, 0);
    let mut skipped = BTreeMap::<&str, usize>::new();
    let places =
        [(Folder::Providers, Some(format.folder(&name))), (Folder::Rules, format.rules_folder(&name))];
    for (folder, path) in places {
        let path = path.map(|path| format!("{}/{path}", prefix));
        for (entry, data) in path.and_then(|path| folders.get(&path)).into_iter().flatten() {
            let decoded = format.decode(Entry { service: &name, folder, name: entry, data: data.as_bytes() });
            records += 1;
            providers += decoded.providers.len();
            rules += decoded.rules.len();
            for unusable in decoded.unusable {
                *skipped.entry(unusable.reason.as_str()).or_default() += 1;
            }
        }
    }
    let skipped: Vec<String> = skipped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let skipped = if skipped.is_empty() { "-".to_owned() } else { skipped.join(", ") };
    let place = format!("{prefix}/{service}");
    format!("{file:<29} {words:<24} {place:<40} {records:>7} {providers:>9} {rules:>5}  {skipped}\n")
}

#[test]
fn what_real_programs_wrote_is_read() {
    let http: Arc<dyn Format> = Arc::new(ServerSet::new(Some("http".to_owned())));
    let blue: Arc<dyn Format> = Arc::new(Dubbo::new(Some("blue".to_owned()), None, None));
    let format = |name| kinds::named(name).unwrap();
    let cases: [Case; 13] = [
        (
            "go-micro-1.18-and-2.9.json",
            "go-micro",
            format("go-micro"),
            "/micro-registry",
            &["go.micro.http.broker", "greeter", "greeter.grpc", "greeter.web"],
        ),
        ("go-micro-after-kill9.json", "go-micro", format("go-micro"), "/micro-registry", &["greeter"]),
        (
            "etcd-go-micro.json",
            "go-micro",
            format("go-micro"),
            "/micro/registry",
            &["go.micro.http.broker", "greeter", "greeter.web"],
        ),
        (
            "apache-dubbo-2.6.12.json",
            "dubbo",
            format("dubbo"),
            "/dubbo",
            &["DubboRegister$OrderService", "DubboRegister$OrderService:1.0.0", "DubboRegister$UserService"],
        ),
        ("apache-dubbo-2.6.12.json", "dubbo group=blue", blue, "/dubbo", &["DubboRegister$OrderService"]),
        ("curator-5.4.0.json", "curator", format("curator"), "/discovery/bean", &["payments"]),
        ("curator-5.4.0.json", "curator", format("curator"), "/discovery/newfmt", &["payments"]),
        ("curator-5.4.0.json", "curator", format("curator"), "/discovery/string", &["inventory"]),
        (
            "curator-5.4.0.json",
            "curator",
            format("curator"),
            "/discovery/void",
            &["both", "host", "noport", "orders", "sslonly", "static", "v6"],
        ),
        ("curator-5.4.0.json", "curator", format("curator"), "/services", &["customer-service"]),
        (
            "twitter-serverset-0.3.9.json",
            "serverset",
            format("serverset"),
            "/twitter/service",
            &["search/prod/api"],
        ),
        (
            "twitter-serverset-0.3.9.json",
            "serverset endpoint=http",
            http,
            "/twitter/service",
            &["search/prod/api"],
        ),
        ("nerve-0.9.json", "nerve", format("nerve"), "/nerve/services", &["enc", "web"]),
    ];
    let head = TABLE.lines().next().unwrap();
    let mut table = format!("{head}\n");
    for (file, words, format, prefix, services) in cases {
        let folders = read(file);
        for service in services {
            table.push_str(&line(file, words, &*format, prefix, service, &folders));
        }
    }
    println!("{table}");
    assert_eq!(table, TABLE);
}
