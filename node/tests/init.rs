//! The files of a cluster on disk: made by `init`, read by `load`, and refused when they are not right.

use std::fs::{self, Permissions};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use node::config::{CLUSTER_FILE, Cluster, Init, SECRET_FILE, init};

/// A folder of its own for a test, empty.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config").join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a writable folder");
    folder
}

fn three_nodes(dir: PathBuf) -> Init {
    let name = "test".to_owned();
    Init { dir, name, nodes: 3, partitions: 1, replication: None, base_port: None }
}

#[test]
fn init_makes_a_cluster_that_loads_and_overwrites_nothing() {
    let dir = folder("init").join("new");
    let file = init(&three_nodes(dir.clone())).expect("an empty folder");
    assert_eq!(file, dir.join(CLUSTER_FILE));
    let (cluster, secret) = Cluster::load(&file).expect("its own file");
    assert_eq!((cluster.nodes.len(), cluster.replication), (3, 3));
    for node in &cluster.nodes {
        UdpSocket::bind(node.address).expect("a free port");
    }
    let secret_file = dir.join(SECRET_FILE);
    let mode = fs::metadata(&secret_file).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode, secret.is_some()), (0o600, true));

    let before = (fs::read(&file).expect("text"), fs::read(&secret_file).expect("text"));
    let exists = "exists; choose another --dir; no cluster is overwritten";
    let again = || init(&three_nodes(dir.clone())).expect_err("it exists").to_string();
    assert_eq!(again(), format!("{}: {exists}", file.display()));
    assert_eq!(before, (fs::read(&file).expect("text"), fs::read(&secret_file).expect("text")));

    fs::remove_file(&file).expect("it was there");
    assert_eq!(again(), format!("{}: {exists}", secret_file.display()));
    assert!(!file.exists(), "what could not be completed is taken back");
    assert_eq!(before.1, fs::read(&secret_file).expect("text"));
}

#[test]
fn init_writes_what_it_was_asked() {
    let dir = folder("init_asked");
    let (replication, base_port) = (Some(3), Some(7001));
    let init_of_five = Init { nodes: 5, partitions: 8, replication, base_port, ..three_nodes(dir) };
    init(&init_of_five).expect("valid");
    let text = fs::read_to_string(init_of_five.dir.join(CLUSTER_FILE)).expect("it is there");
    let expected = r#"{
  "cluster": "test",
  "secret_file": "cluster.secret",
  "partitions": 8,
  "replication": 3,
  "nodes": [
    {"id": 1, "address": "127.0.0.1:7001"},
    {"id": 2, "address": "127.0.0.1:7002"},
    {"id": 3, "address": "127.0.0.1:7003"},
    {"id": 4, "address": "127.0.0.1:7004"},
    {"id": 5, "address": "127.0.0.1:7005"}
  ]
}
"#;
    assert_eq!(text, expected);
}

#[test]
fn init_refuses_what_the_reader_would_and_writes_nothing() {
    let dir = folder("init_refused").join("new");
    let asked = three_nodes(dir.clone());
    for (asked, message) in [
        (
            Init { replication: Some(5), ..asked.clone() },
            "replication: 5 replicas need as many nodes, and there are 3; write less, or add nodes",
        ),
        (
            Init { base_port: Some(65534), ..asked.clone() },
            "nodes[2].address: \"127.0.0.1:65536\" is no address; write IP:PORT, as in 10.0.0.1:7001 or [fd00::1]:7001",
        ),
        (
            Init { name: "a\"b".to_owned(), ..asked },
            "cluster: \"a\\\"b\" is no name; write 1 to 64 letters, digits, dots, hyphens or underscores",
        ),
    ] {
        let error = init(&asked).expect_err(message).to_string();
        assert_eq!(error, format!("{}: {message}", dir.join(CLUSTER_FILE).display()));
        assert!(!dir.exists());
    }
}

#[test]
fn a_secret_is_refused_unless_it_is_private_and_whole() {
    let file = init(&three_nodes(folder("secret"))).expect("valid");
    let secret_file = file.with_file_name(SECRET_FILE);
    let refused = || {
        let message = Cluster::load(&file).expect_err("refused").to_string();
        message.strip_prefix(&format!("{}: ", secret_file.display())).expect("its file").to_owned()
    };

    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&secret_file, Permissions::from_mode(mode)).expect("own file");
        let path = secret_file.display();
        let message =
            format!("the secret is open to other users (mode 0{mode:o}); run chmod 600 {path}");
        assert_eq!(refused(), message);
    }
    fs::set_permissions(&secret_file, Permissions::from_mode(0o600)).expect("own file");
    assert!(Cluster::load(&file).is_ok());

    const REMEDY: &str = "write 64 hexadecimal digits, or copy the file from another node";
    for (text, found) in [
        ("", "has 0 hexadecimal digits"),
        ("0123", "has 4 hexadecimal digits"),
        ("0123 4567\n", "character 5 is no hexadecimal digit"),
        ("\u{fc}", "character 1 is no hexadecimal digit"),
    ] {
        fs::write(&secret_file, text).expect("own file");
        assert_eq!(refused(), format!("{found}; {REMEDY}"));
    }
    fs::remove_file(&secret_file).expect("own file");
    assert_eq!(
        refused(),
        format!(
            "the secret that {} names: No such file or directory (os error 2); \
             copy it from the node that has it (`node init` makes one)",
            file.display()
        )
    );
}

#[test]
fn a_missing_cluster_file_is_named() {
    let file = folder("missing").join("c.json");
    let message = Cluster::load(&file).expect_err("missing").to_string();
    assert_eq!(
        message,
        format!(
            "{}: No such file or directory (os error 2); \
             name another with --cluster, or make one with `node init`",
            file.display()
        )
    );
}
