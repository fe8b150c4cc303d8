//! What an announcer leaves behind that is let go of.

use wayside::registry::kinds;

use crate::support::announcing::{Announcing, announcement};
use crate::support::patience::at_last;
use crate::support::zookeeper::ZooKeeper;

const PATH: &str = "/micro-registry/greeter/g-1";
/// How many are connected to a server.
const CONNECTED: &str = "zk_num_alive_connections";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_let_go_of_is_not_closed() {
    let mut zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let settings: kinds::Settings = format!("zookeeper://{}", zookeeper.addresses()).parse().unwrap();
    let announcing = Announcing::start(settings.open_announcer().unwrap());
    announcing.want(&[announcement("g-1", "10.0.0.5:8080")]);
    announcing.announced("g-1").await;
    let before = writer.client.check_stat(PATH).await.unwrap();
    let server = zookeeper.server();
    let connected = server.number(CONNECTED);
    drop(announcing);
    at_last("its connection is closed", async || server.number(CONNECTED) < connected).await;
    let after = writer.client.check_stat(PATH).await.unwrap();
    assert!(after.is_some() && after == before, "the record is there for the next session to take over");
}
