//! One record of each format, as the programs that announce themselves in it write them.

use std::hint::black_box;

use wayside::registry::format::{Entry, kinds};

use super::Case;

const CALLS: u64 = 1_000;

/// A format, the name of an entry, and what that holds.
const RECORDS: [(&str, &str, &str); 10] = [
    (
        "go-micro",
        "greeter-8d7e",
        r#"{"name":"greeter","version":"latest","metadata":null,"endpoints":[{"name":"Say.Hello","request":{"name":"Request","type":"Request","values":[{"name":"name","type":"string","values":null}]},"response":{"name":"Response","type":"Response","values":[{"name":"msg","type":"string","values":null}]},"metadata":{}}],"nodes":[{"id":"greeter-8d7e","address":"10.0.0.5:43210","metadata":{"broker":"http","protocol":"mucp","registry":"zookeeper","server":"mucp","transport":"http"}}]}"#,
    ),
    (
        "dubbo",
        "tri%3A%2F%2F192.0.2.2%3A28570%2FOrderService%3Fanyhost%3Dtrue%26application%3Dorder-app%26dubbo%3D2.0.2%26generic%3Dfalse%26interface%3DOrderService%26loadbalance%3Dleastactive%26methods%3DplaceOrder%2CgetOrder%26organization%3Dacme%26owner%3Dteam-a%26pid%3D16810%26retries%3D1%26revision%3D1.0.0%26side%3Dprovider%26timeout%3D1500%26timestamp%3D1795362019652%26version%3D1.0.0%26weight%3D50",
        "127.0.0.1",
    ),
    (
        "dubbo-app",
        "10.0.0.5:20880",
        r#"{"name":"order-app","id":"10.0.0.5:20880","address":"10.0.0.5","port":20880,"sslPort":null,"payload":{"@class":"org.apache.dubbo.registry.zookeeper.ZookeeperInstance","id":"10.0.0.5:20880","name":"order-app","metadata":{"dubbo.endpoints":"[{\"port\":20880,\"protocol\":\"dubbo\"},{\"port\":50051,\"protocol\":\"tri\"}]","dubbo.metadata-service.url-params":"{\"connections\":\"1\",\"version\":\"1.0.0\",\"dubbo\":\"2.0.2\",\"port\":\"20881\",\"protocol\":\"dubbo\"}","dubbo.metadata.revision":"0f1e2d3c4b5a69788796a5b4c3d2e1f0","dubbo.metadata.storage-type":"local"}},"registrationTimeUTC":1795361541343,"serviceType":"DYNAMIC","uriSpec":null}"#,
    ),
    (
        "curator",
        "c2e01776-5d2b-4745-9d23-8b0218b4acce",
        r#"{"name":"customer-service","id":"c2e01776-5d2b-4745-9d23-8b0218b4acce","address":"127.0.0.1","port":28440,"sslPort":null,"payload":{"@class":"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance","id":"application-1","name":"customer-service","metadata":{"instance_status":"UP","version":"1.0"}},"registrationTimeUTC":1795361541343,"serviceType":"DYNAMIC","uriSpec":{"parts":[{"value":"scheme","variable":true},{"value":"://","variable":false},{"value":"address","variable":true},{"value":":","variable":false},{"value":"port","variable":true}]}}"#,
    ),
    (
        "serverset",
        "member_0000000000",
        r#"{"status": "ALIVE", "additionalEndpoints": {"http": {"host": "127.0.0.1", "port": 28530}, "thrift": {"host": "127.0.0.1", "port": 28540}}, "serviceEndpoint": {"host": "127.0.0.1", "port": 28520}, "shard": 0}"#,
    ),
    (
        "nerve",
        "mymachine-1_0000000000",
        r#"{"host":"127.0.0.1","port":28000,"name":"mymachine-1","weight":2,"labels":{"az":"us-east-1a","region":"us-east-1"}}"#,
    ),
    (
        "kratos",
        "i-1",
        r#"{"id":"i-1","name":"helloworld","version":"v1","metadata":null,"endpoints":["grpc://10.0.0.5:9000","http://10.0.0.5:8000?isSecure=true"]}"#,
    ),
    ("plain", "i-1", r#"{"host":"10.0.0.5","port":80,"weight":2,"zone":"z","version":3,"metadata":{"k":1}}"#),
    ("grpc", "10.0.0.5:9000", r#"{"Op":0,"Addr":"10.0.0.5:9000","Metadata":{"weight":3,"zone":"z"}}"#),
    ("go-zero", "7587849401504590084", "10.0.0.5:9000"),
];

pub(crate) fn cases() -> impl Iterator<Item = Case> {
    RECORDS.into_iter().map(|(format, name, data)| {
        Case::here(format!("decode/{format}"), CALLS, move |calls| decode(format, name, data, calls))
    })
}

fn decode(format: &str, name: &str, data: &str, calls: u64) {
    let (format, service) = (kinds::named(format).unwrap(), "greeter".parse().unwrap());
    for _ in 0..calls {
        let decoded = format.decode(Entry::of(&service, name, black_box(data.as_bytes())));
        assert!(!black_box(decoded).providers.is_empty(), "{name} is a record");
    }
}
