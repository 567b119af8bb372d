//! Settings that change while the gateway runs.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use duogate::{
    app::client::{ListModelsRequest, chat_service_client::ChatServiceClient},
    sim::{Hold, Step},
};
use futures::future::join_all;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use crate::support::{
    Ask, Door, Gateway, ONCE, OTHER_KEY, Serving, Setup, TOKENS, each_door, eventually, within,
};

const FIRST: &str = "sk-reload-first-0123456789";
const SECOND: &str = "sk-reload-second-0123456789";

/// Clients for both doors.
struct Doors {
    web: reqwest::Client,
    models: String,
    chats: ChatServiceClient<Channel>,
}

impl Doors {
    fn of(serving: &Serving) -> Self {
        let channel = Endpoint::from_shared(format!("http://{}", serving.grpc)).unwrap();
        Self {
            web: reqwest::Client::builder().no_proxy().build().unwrap(),
            models: format!("http://{}/v1/models", serving.http),
            chats: ChatServiceClient::new(channel.connect_lazy()),
        }
    }

    /// Whether each door accepts a key, HTTP first.
    async fn take(&self, key: &str) -> [bool; 2] {
        let models = self.web.get(&self.models).bearer_auth(key);
        let status = models.send().await.unwrap().status();
        assert!([200, 401].contains(&status.as_u16()), "{status}");
        let mut request = tonic::Request::new(ListModelsRequest {});
        request.metadata_mut().insert("x-api-key", key.parse().unwrap());
        let listed = self.chats.clone().list_models(request).await;
        if let Err(status) = &listed {
            assert_eq!(status.code(), Code::Unauthenticated);
        }
        [status == 200, listed.is_ok()]
    }

    /// Waits until both doors accept `good` and reject `bad`.
    async fn only(&self, good: &str, bad: &str) {
        eventually("the new keys count at both doors", async || {
            self.take(good).await == [true; 2] && self.take(bad).await == [false; 2]
        })
        .await;
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).unwrap();
}

#[tokio::test]
async fn a_changed_key_file_counts_at_both_doors_without_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    // Kubernetes mounts secrets this way: the file is a link into a directory that is itself a link.
    let mount = |version: &str, key: &str| {
        fs::create_dir(root.join(version)).unwrap();
        write(&root.join(version), "keys", key);
        symlink(version, root.join("..new")).unwrap();
        fs::rename(root.join("..new"), root.join("..data")).unwrap();
    };
    mount("..1", FIRST);
    symlink("..data/keys", root.join("keys")).unwrap();
    write(root, ".env", "API_KEYS_FILE=keys\n");
    let mut serving = Serving::start(root);
    let doors = Doors::of(&serving);
    doors.only(FIRST, SECOND).await;
    mount("..2", SECOND);
    fs::remove_dir_all(root.join("..1")).unwrap();
    doors.only(SECOND, FIRST).await;
    assert!(serving.until("settings reloaded").contains("API_KEYS"));
    write(&root.join("..2"), "keys", FIRST);
    doors.only(FIRST, SECOND).await;
    serving.until("settings reloaded");
    serving.stop().await;
}

#[tokio::test]
async fn sighup_reads_the_settings_again_and_names_what_needs_a_restart() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), ".env", &format!("API_KEYS=[\"{FIRST}\"]\n"));
    let mut serving = Serving::start(place.path());
    let doors = Doors::of(&serving);
    serving.signal("-HUP");
    serving.until("settings reloaded: none has changed");
    write(
        place.path(),
        ".env",
        &format!("API_KEYS=[\"{SECOND}\"]\nWORKERS=3\nTARGET_API_URL=http://127.0.0.1:9/chat\n"),
    );
    serving.signal("-HUP");
    assert!(serving.until("settings reloaded").contains("API_KEYS"));
    let in_vain = serving.until("only after a restart");
    assert!(in_vain.contains("WORKERS, TARGET_API_URL"), "{in_vain}");
    assert!(!in_vain.contains("API_KEYS"), "{in_vain}");
    doors.only(SECOND, FIRST).await;
    serving.stop().await;
}

#[tokio::test]
async fn a_bad_file_keeps_the_old_settings_and_says_so() {
    let place = tempfile::tempdir().unwrap();
    let good = format!("API_KEYS=[\"{FIRST}\"]\n");
    write(place.path(), ".env", &good);
    let mut serving = Serving::start(place.path());
    let doors = Doors::of(&serving);
    let bad = [
        format!("API_KEYS=[\"{SECOND}\"\nTIMEOUT=banana\n"),
        "REQUIRE_API_KEY=true\n".to_owned(),
        format!("{SECOND}\n"),
    ];
    for text in &bad {
        write(place.path(), ".env", text);
        let kept = serving.until("the settings were not reloaded");
        assert!(kept.contains("ERROR"), "{kept}");
        doors.only(FIRST, SECOND).await;
    }
    let problems = serving.log.concat();
    for named in ["API_KEYS: ", "TIMEOUT: ", ".env: "] {
        assert!(problems.contains(named), "{named} is not named in {problems}");
    }
    assert!(!problems.contains(SECOND), "a secret is in {problems}");
    fs::remove_file(place.path().join(".env")).unwrap();
    serving.until("the settings were not reloaded");
    write(place.path(), ".env", &good.replace(FIRST, SECOND));
    doors.only(SECOND, FIRST).await;
    serving.stop().await;
}

#[tokio::test]
async fn changed_limits_count_for_what_comes_from_then_on() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let mut before = Vec::new();
        for _ in 0..2 {
            before.push(door.open(&gateway, &Ask::new("before")).await.unwrap());
        }
        let mut settings = gateway.live().settings();
        settings.request_timeout = Duration::from_millis(1500);
        settings.max_body_bytes = 1024;
        settings
            .api_keys
            .retain(|key| secrecy::ExposeSecret::expose_secret(key) != OTHER_KEY);
        assert!(gateway.live().apply(&settings));
        assert!(!gateway.live().apply(&settings), "a second time nothing is new");
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new("after")).await;
            outcome.assert_failed("deadline_exceeded");
            let outcome = way.ask(&gateway, &Ask::new("after").key(Some(OTHER_KEY))).await;
            outcome.assert_failed("unauthenticated");
        }
        // The other door's size limit is fixed by its contract.
        let large = Door::Http.chat(&gateway, &Ask::new("x".repeat(1024))).await;
        large.assert_failed("request_too_large");
        gateway.sim.release();
        let ends = join_all(before.into_iter().map(|opened| opened.finish()));
        for outcome in within("the answers that had begun", ends).await {
            outcome.assert_whole("You said: before");
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn changed_tokens_and_models_count_for_what_comes_from_then_on() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new().tokens(1).start().await;
        for way in door.ways() {
            way.ask(&gateway, &Ask::new("before"))
                .await
                .assert_whole("You said: before");
        }
        let mut settings = gateway.live().settings();
        settings.tokens = vec![TOKENS[1].into()];
        settings.available_models = vec!["new-model".to_owned()];
        settings.model_aliases = [("alias".to_owned(), "new-model".to_owned())].into();
        settings.max_concurrent_requests = 1;
        let answers = |token: &str| gateway.sim.counts().calls_with(token, Step::Answer);
        let before = answers(TOKENS[0]);
        assert!(gateway.live().apply(&settings));
        for way in door.ways() {
            for model in ["new-model", "alias"] {
                let outcome = way.ask(&gateway, &Ask::new("after").model(model)).await;
                outcome.assert_whole("You said: after");
            }
            let outcome = way.ask(&gateway, &Ask::new("after")).await;
            outcome.assert_failed("model_not_found");
        }
        assert_eq!((answers(TOKENS[0]), answers(TOKENS[1])), (before, 4));
        gateway.sim.hold();
        let ask = Ask::new("alone").model("alias");
        let alone = door.chat(&gateway, &ask);
        let one_more = async {
            gateway
                .sim_until("one is under way", |counts| counts.open() == 1)
                .await;
            for way in door.ways() {
                way.ask(&gateway, &ask).await.assert_failed("overloaded");
            }
            gateway.sim.release();
        };
        let (alone, ()) = tokio::join!(alone, one_more);
        alone.assert_whole("You said: alone");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn whether_keys_are_required_can_change() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new().start().await;
        let mut settings = gateway.live().settings();
        for required in [false, true] {
            settings.require_api_key = required;
            gateway.live().apply(&settings);
            for way in door.ways() {
                let outcome = way.ask(&gateway, &Ask::new("may I?").key(None)).await;
                assert_eq!(outcome.failure.is_some(), required, "{way:?}");
            }
            assert_eq!(gateway.health().await["api_key_validation"], required);
        }
        gateway.stop().await
    })
    .await;
}
