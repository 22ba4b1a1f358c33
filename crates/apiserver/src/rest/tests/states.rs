//! Which state a list shows.

use super::{CONFIG_MAPS, Server, Value, config_map, json, start};

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

async fn create(server: &Server, name: &str) -> String {
    let created = server.post(CONFIG_MAPS, &config_map(name, json!({}))).await.json();
    created["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_earlier_state_is_listed_exactly_and_its_pages_go_together() {
    let server = start().await;
    for name in ["a", "c"] {
        create(&server, name).await;
    }
    let then = create(&server, "d").await;
    create(&server, "b").await;
    server.ask(&format!("DELETE {CONFIG_MAPS}/d"), &[], "").await;

    let exact = format!("{CONFIG_MAPS}?resourceVersion={then}&resourceVersionMatch=Exact");
    let list = server.get(&exact).await.json();
    assert_eq!((names(&list), &list["metadata"]["resourceVersion"]), (vec!["a", "c", "d"], &json!(then)));
    let newer = server.get(&format!("{CONFIG_MAPS}?resourceVersion={then}")).await.json();
    assert_eq!(names(&newer), ["a", "b", "c"]);

    // Whoever names a state and a limit means exactly this state, said or not.
    for first in [format!("{exact}&limit=2"), format!("{CONFIG_MAPS}?resourceVersion={then}&limit=2")] {
        let first = server.get(&first).await.json();
        assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["a", "c"], &json!(1)));
        let token = first["metadata"]["continue"].as_str().unwrap();
        let second = server.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.json();
        assert_eq!((names(&second), &second["metadata"]["resourceVersion"]), (vec!["d"], &json!(then)));
    }

    let unborn = server.get(&format!("{CONFIG_MAPS}?resourceVersion=1000000&resourceVersionMatch=Exact")).await;
    let cause = "/details/causes/0/reason";
    assert_eq!(unborn.shows(&["/reason", cause]), (504, vec![json!("Timeout"), json!("ResourceVersionTooLarge")]));
}
