use super::*;

fn kept(id: &str, item: &str, size: usize) -> Kept {
    let item = KeptItem::of(item, &serde_json::json!({ "id": item, "of": id }));
    Kept {
        id: id.to_owned(),
        response: "x".repeat(size),
        input: vec![item],
        output: Vec::new(),
        history: Vec::new(),
    }
}

fn owner(name: &str) -> Owner {
    Some(name.to_owned())
}

#[test]
fn the_oldest_go_first_when_there_are_too_many() {
    let store = ResponseStore::new(2, usize::MAX);
    for id in ["a", "b", "c"] {
        assert!(store.keep(None, kept(id, id, 1)));
    }
    assert!(store.find(&None, "a").is_none());
    assert!(store.find_item(&None, "a").is_none());
    assert!(store.find(&None, "b").is_some() && store.find(&None, "c").is_some());
}

#[test]
fn room_is_counted_and_given_back() {
    let store = ResponseStore::new(100, 10_000);
    for id in ["a", "b", "c"] {
        assert!(store.keep(None, kept(id, id, 4_000)));
    }
    assert!(store.lock().bytes <= 10_000);
    assert!(store.find(&None, "a").is_none() && store.find(&None, "b").is_some());
    assert!(store.forget(&None, "b") && store.forget(&None, "c"));
    let inner = store.lock();
    assert_eq!(inner.bytes, 0);
    assert!(inner.kept.is_empty() && inner.by_id.is_empty() && inner.by_item.is_empty());
}

#[test]
fn what_is_larger_than_all_the_room_displaces_nothing() {
    let store = ResponseStore::new(100, 10_000);
    assert!(store.keep(None, kept("small", "i", 1)));
    assert!(!store.keep(None, kept("large", "i", 10_000)));
    assert!(store.find(&None, "small").is_some() && store.find(&None, "large").is_none());
    assert!(!ResponseStore::new(0, 10_000).keep(None, kept("small", "i", 1)));
}

#[test]
fn nobody_sees_or_forgets_what_another_key_made() {
    let store = ResponseStore::new(100, usize::MAX);
    assert!(store.keep(owner("one"), kept("a", "i", 1)));
    for other in [owner("two"), None] {
        assert!(store.find(&other, "a").is_none());
        assert!(store.find_item(&other, "i").is_none());
        assert!(!store.forget(&other, "a"));
    }
    assert!(store.find(&owner("one"), "a").is_some());
    assert!(store.forget(&owner("one"), "a"));
    assert!(!store.forget(&owner("one"), "a"));
}

#[test]
fn of_two_items_of_one_id_the_later_is_found() {
    let store = ResponseStore::new(100, usize::MAX);
    assert!(store.keep(None, kept("a", "i", 1)));
    assert!(store.keep(None, kept("b", "i", 1)));
    assert!(store.forget(&None, "a"));
    assert_eq!(store.find_item(&None, "i").unwrap()["of"], "b");
}
