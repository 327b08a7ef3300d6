//! The conversation against a server that exists only here, with a clock that stands still until it is moved.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use widget::chat::{Chat, Effect, Ending, Event, FromServer, NoTicket, Status, ToServer, Usage};

/// A browser and a server: carries out what the conversation wants.
struct World {
    chat: Chat,
    now: u64,
    due: Option<u64>,
    is_open: bool,
    /// Frames on their way to the page.
    wire: VecDeque<FromServer>,
    /// What the server got.
    got: Vec<ToServer>,
    /// Answers by question, and how often each was begun.
    answers: BTreeMap<String, Vec<FromServer>>,
    begun: usize,
    tickets: VecDeque<Result<String, NoTicket>>,
    text: String,
    started: usize,
    endings: Vec<Ending>,
    statuses: Vec<Status>,
    connects: usize,
    server_answers: bool,
    words: Vec<String>,
}

fn welcome() -> FromServer {
    FromServer::Welcome { is_authenticated: true, is_read_only: false, heartbeat_ms: Some(30_000) }
}

impl World {
    fn new(words: &[&str]) -> Self {
        Self {
            chat: Chat::new(7),
            now: 1_000,
            due: None,
            is_open: false,
            wire: VecDeque::new(),
            got: Vec::new(),
            answers: BTreeMap::new(),
            begun: 0,
            tickets: VecDeque::new(),
            text: String::new(),
            started: 0,
            endings: Vec::new(),
            statuses: Vec::new(),
            connects: 0,
            server_answers: true,
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    fn answer(&self, id: &str) -> Vec<FromServer> {
        let id = id.to_owned();
        let mut frames =
            vec![FromServer::Start { id: id.clone(), seq: 1, pool: Some("cheap".into()), reason: None }];
        for (index, word) in self.words.iter().enumerate() {
            frames.push(FromServer::Token { id: id.clone(), seq: index as u64 + 2, content: word.clone() });
        }
        frames.push(FromServer::End {
            id,
            seq: self.words.len() as u64 + 2,
            usage: Usage { prompt_tokens: 3, completion_tokens: 5 },
            cost_micro: Some("42".into()),
            finish_reason: Some("stop".into()),
            note: None,
        });
        frames
    }

    fn event(&mut self, event: Event) {
        let effects = self.chat.on(event, self.now);
        self.carry_out(effects);
    }

    fn say(&mut self, id: &str) {
        let effects = self.chat.say(id, "hello", None, self.now);
        self.carry_out(effects);
    }

    fn stop(&mut self) {
        let effects = self.chat.stop(self.now);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::FetchTicket => {
                    let ticket = self.tickets.pop_front().unwrap_or(Ok("ticket".into()));
                    self.event(Event::Ticket(ticket));
                }
                Effect::Connect => {
                    self.connects += 1;
                    self.wire.clear();
                    self.is_open = true;
                    self.event(Event::Opened);
                }
                Effect::Send(frame) => self.receive(frame),
                Effect::Disconnect => {
                    self.is_open = false;
                    self.wire.clear();
                }
                Effect::LookAgain(after) => self.due = Some(self.now + after),
                Effect::Show(status) => self.statuses.push(status),
                Effect::Started { .. } => self.started += 1,
                Effect::Text(text) => self.text.push_str(&text),
                Effect::Ended(ending) => self.endings.push(ending),
            }
        }
    }

    /// The server's part.
    fn receive(&mut self, frame: ToServer) {
        self.got.push(frame.clone());
        if !self.is_open || !self.server_answers {
            return;
        }
        match frame {
            ToServer::Auth { .. } => self.wire.push_back(welcome()),
            ToServer::Chat { id, .. } => {
                if !self.answers.contains_key(&id) {
                    self.begun += 1;
                    let answer = self.answer(&id);
                    self.answers.insert(id.clone(), answer);
                }
                self.wire.extend(self.answers[&id].clone());
            }
            ToServer::Resume { id, after } => {
                let answer = self.answers[&id].clone();
                self.wire.extend(answer.into_iter().skip(usize::try_from(after).expect("small")));
            }
            ToServer::Ping => self.wire.push_back(FromServer::Pong),
            ToServer::Cancel { .. } => {}
        }
    }

    fn deliver(&mut self) -> bool {
        let Some(frame) = self.wire.pop_front() else { return false };
        self.event(Event::Frame(frame));
        true
    }

    fn deliver_all(&mut self) {
        while self.deliver() {}
    }

    fn cut(&mut self) {
        self.is_open = false;
        self.wire.clear();
        self.event(Event::Closed(1006));
    }

    /// Lets time pass to the next moment that matters.
    fn wait(&mut self) {
        self.now = self.due.take().expect("something is waited for");
        self.event(Event::Tick);
    }

    fn connected(words: &[&str]) -> Self {
        let mut world = Self::new(words);
        world.event(Event::Wake);
        world.deliver_all();
        assert_eq!(world.statuses.last(), Some(&Status::Ready));
        world
    }
}

#[test]
fn a_question_is_answered() {
    let mut world = World::connected(&["Hel", "lo", "!"]);
    world.say("a");
    assert!(world.chat.is_busy());
    world.deliver_all();
    assert_eq!((world.text.as_str(), world.started), ("Hello!", 1));
    assert_eq!(world.endings[0].cost_micro.as_deref(), Some("42"));
    assert!(world.endings[0].failure.is_none() && !world.endings[0].was_stopped);
    assert!(!world.chat.is_busy());
}

#[test]
fn a_question_connects_by_itself() {
    let mut world = World::new(&["hi"]);
    world.say("a");
    world.deliver_all();
    assert_eq!((world.text.as_str(), world.connects), ("hi", 1));
}

#[test]
fn a_second_question_waits_for_the_first() {
    let mut world = World::connected(&["x"]);
    world.say("a");
    world.say("b");
    world.deliver_all();
    assert_eq!(world.begun, 1);
    world.say("b");
    world.deliver_all();
    assert_eq!((world.begun, world.text.as_str()), (2, "xx"));
}

#[test]
fn a_cut_in_the_middle_loses_and_doubles_nothing() {
    let mut world = World::connected(&["a", "b", "c", "d"]);
    world.say("q");
    for _ in 0..3 {
        world.deliver();
    }
    world.cut();
    assert_eq!(world.statuses.last(), Some(&Status::Reconnecting));
    world.wait();
    world.deliver_all();
    assert_eq!((world.text.as_str(), world.begun), ("abcd", 1));
    assert!(world.got.contains(&ToServer::Resume { id: "q".into(), after: 3 }));
    assert_eq!(world.statuses.last(), Some(&Status::Ready));
}

#[test]
fn a_cut_before_the_first_word_asks_the_same_question() {
    let mut world = World::connected(&["a"]);
    world.say("q");
    world.cut();
    world.wait();
    world.deliver_all();
    assert_eq!((world.text.as_str(), world.begun, world.endings.len()), ("a", 1, 1));
}

#[test]
fn what_comes_twice_is_applied_once_and_what_is_missing_is_asked_for() {
    let mut world = World::connected(&["a", "b", "c"]);
    world.say("q");
    let frames: Vec<FromServer> = world.wire.drain(..).collect();
    for index in [0, 1, 0, 1, 1] {
        world.event(Event::Frame(frames[index].clone()));
    }
    assert_eq!(world.text, "a");
    // One is missing, and then another comes: it is asked for once.
    world.event(Event::Frame(frames[3].clone()));
    world.event(Event::Frame(frames[4].clone()));
    let asked = world.got.iter().filter(|frame| matches!(frame, ToServer::Resume { after: 2, .. })).count();
    assert_eq!(asked, 1);
    world.deliver_all();
    assert_eq!((world.text.as_str(), world.endings.len()), ("abc", 1));
}

#[test]
fn frames_of_another_answer_are_not_ours() {
    let mut world = World::connected(&["a"]);
    world.say("q");
    world.event(Event::Frame(FromServer::Start { id: "other".into(), seq: 1, pool: None, reason: None }));
    world.event(Event::Frame(FromServer::Token { id: "other".into(), seq: 2, content: "no".into() }));
    world.deliver_all();
    assert_eq!((world.text.as_str(), world.started), ("a", 1));
}

#[test]
fn stop_ends_with_what_the_server_says_it_costs() {
    let mut world = World::connected(&["a", "b", "c"]);
    world.say("q");
    world.deliver();
    world.deliver();
    world.stop();
    world.stop();
    assert_eq!(world.got.iter().filter(|frame| matches!(frame, ToServer::Cancel { .. })).count(), 1);
    world.wire.clear();
    let end = FromServer::End {
        id: "q".into(),
        seq: 3,
        usage: Usage::default(),
        cost_micro: Some("7".into()),
        finish_reason: Some("cancelled".into()),
        note: None,
    };
    world.event(Event::Frame(end));
    assert!(world.endings[0].was_stopped);
    assert_eq!(world.endings[0].cost_micro.as_deref(), Some("7"));
    assert_eq!(world.text, "a");
}

#[test]
fn stop_ends_also_when_the_server_says_nothing() {
    let mut world = World::connected(&["a", "b"]);
    world.say("q");
    world.deliver();
    world.wire.clear();
    world.stop();
    world.wait();
    assert!(world.endings[0].was_stopped);
    assert!(!world.chat.is_busy());
}

#[test]
fn a_stop_that_was_cut_off_is_said_again() {
    let mut world = World::connected(&["a", "b"]);
    world.say("q");
    world.deliver();
    world.stop();
    world.cut();
    world.wait();
    world.deliver();
    let cancels = world.got.iter().filter(|frame| matches!(frame, ToServer::Cancel { .. })).count();
    assert_eq!(cancels, 2);
}

#[test]
fn a_question_that_was_never_sent_is_simply_taken_back() {
    let mut world = World::new(&["a"]);
    world.tickets.push_back(Err(NoTicket::Failed));
    world.say("q");
    world.stop();
    assert!(world.endings[0].was_stopped && world.endings[0].cost_micro.is_none());
    world.wait();
    world.deliver_all();
    assert_eq!(world.begun, 0);
}

#[test]
fn a_server_that_goes_away_is_left_after_the_answer() {
    let mut world = World::connected(&["a", "b"]);
    world.say("q");
    world.deliver();
    world.event(Event::Frame(FromServer::Drain));
    assert!(world.is_open, "the answer finishes where it is");
    world.deliver_all();
    assert_eq!((world.text.as_str(), world.is_open), ("ab", false));
    world.wait();
    world.deliver_all();
    assert_eq!((world.connects, world.statuses.last()), (2, Some(&Status::Ready)));
    world.say("r");
    world.deliver_all();
    assert_eq!(world.text, "abab");
}

#[test]
fn a_question_that_a_draining_server_refused_goes_to_another() {
    let mut world = World::connected(&["a"]);
    world.say("q");
    world.wire.clear();
    world.answers.clear();
    world.event(Event::Frame(FromServer::Error {
        id: Some("q".into()),
        seq: None,
        code: "draining".into(),
        message: "restarting".into(),
        cost_micro: None,
    }));
    world.wait();
    world.deliver_all();
    assert_eq!((world.text.as_str(), world.connects), ("a", 2));
}

#[test]
fn an_error_ends_the_answer_and_can_be_asked_again() {
    let mut world = World::connected(&["a"]);
    world.say("q");
    world.wire.clear();
    let error = FromServer::Error {
        id: Some("q".into()),
        seq: None,
        code: "insufficient_credits".into(),
        message: "Buy credits to go on.".into(),
        cost_micro: None,
    };
    world.event(Event::Frame(error));
    let failure = world.endings[0].failure.clone().unwrap();
    assert!(failure.is_about_money() && !failure.can_retry());
    world.say("q2");
    world.deliver_all();
    assert_eq!(world.text, "a");
}

#[test]
fn a_silent_connection_is_found_out() {
    let mut world = World::connected(&["a"]);
    world.wait();
    assert_eq!(world.got.last(), Some(&ToServer::Ping));
    world.deliver_all();
    // This time nothing comes back.
    world.server_answers = false;
    world.wait();
    world.wait();
    assert_eq!((world.is_open, world.statuses.last()), (false, Some(&Status::Reconnecting)));
}

#[test]
fn coming_back_looks_whether_the_connection_lives() {
    let mut world = World::connected(&["a"]);
    world.server_answers = false;
    world.event(Event::Returned);
    assert_eq!(world.got.last(), Some(&ToServer::Ping));
    let before = world.now;
    world.wait();
    assert!(!world.is_open && world.now - before <= 3_000);
    // Waiting ends at once when the network returns.
    world.server_answers = true;
    world.event(Event::Returned);
    world.deliver_all();
    assert_eq!(world.statuses.last(), Some(&Status::Ready));
}

#[test]
fn waits_grow_and_have_an_end() {
    let mut world = World::new(&["a"]);
    world.event(Event::Wake);
    world.deliver_all();
    let mut waits = Vec::new();
    world.server_answers = false;
    world.cut();
    for _ in 0..12 {
        let before = world.now;
        world.tickets.push_back(Err(NoTicket::Failed));
        world.wait();
        waits.push(world.now - before);
    }
    assert!(waits[0] <= 400 && waits[11] >= 10_000 && waits.iter().all(|wait| *wait <= 20_000), "{waits:?}");
    assert_eq!(world.statuses.last(), Some(&Status::Away));
}

#[test]
fn a_server_that_never_greets_is_given_up() {
    let mut world = World::new(&["a"]);
    world.server_answers = false;
    world.event(Event::Wake);
    assert!(world.is_open);
    world.wait();
    assert!(!world.is_open);
}

#[test]
fn a_question_without_any_answer_ends() {
    let mut world = World::connected(&["a"]);
    world.say("q");
    world.wire.clear();
    // The connection lives, and yet nothing comes.
    for _ in 0..20 {
        if world.endings.is_empty() {
            world.wait();
            let pongs: Vec<_> = world.wire.drain(..).filter(|frame| *frame == FromServer::Pong).collect();
            world.wire.extend(pongs);
            world.deliver_all();
        }
    }
    assert_eq!(world.endings[0].failure.as_ref().map(|failure| failure.code.as_str()), Some("no_answer"));
}

#[test]
fn a_session_that_ended_asks_to_sign_in() {
    let mut world = World::new(&["a"]);
    world.tickets.push_back(Err(NoTicket::SignedOut));
    world.say("q");
    assert_eq!(world.statuses.last(), Some(&Status::SignedOut));
    assert_eq!(world.endings[0].failure.as_ref().map(|failure| failure.code.as_str()), Some("signed_out"));
    world.event(Event::SignedIn);
    world.deliver_all();
    assert_eq!(world.statuses.last(), Some(&Status::Ready));
}

#[test]
fn a_tab_too_many_waits_to_be_wanted() {
    let mut world = World::new(&["a"]);
    world.server_answers = false;
    world.event(Event::Wake);
    world.event(Event::Frame(FromServer::Error {
        id: None,
        seq: None,
        code: "too_many_connections".into(),
        message: "Close another tab.".into(),
        cost_micro: None,
    }));
    assert_eq!((world.is_open, world.statuses.last()), (false, Some(&Status::TooManyTabs)));
    world.server_answers = true;
    world.event(Event::Wake);
    world.deliver_all();
    assert_eq!(world.statuses.last(), Some(&Status::Ready));
}

#[test]
fn a_session_that_ends_while_connected_asks_to_sign_in() {
    let mut world = World::connected(&["a"]);
    world.event(Event::Closed(4001));
    assert_eq!((world.connects, world.statuses.last()), (1, Some(&Status::SignedOut)));
}

#[test]
fn an_idle_close_sleeps_until_the_next_word() {
    let mut world = World::connected(&["a"]);
    world.is_open = false;
    world.event(Event::Closed(4000));
    assert_eq!((world.connects, world.statuses.last()), (1, Some(&Status::Asleep)));
    world.say("q");
    world.deliver_all();
    assert_eq!((world.text.as_str(), world.connects), ("a", 2));
}

#[test]
fn an_answer_is_taken_up_after_a_reload() {
    let mut before = World::connected(&["a", "b"]);
    before.say("q");
    before.deliver();
    let mut world = World::new(&["a", "b"]);
    world.answers = before.answers;
    let effects = world.chat.take_up("q", "hello", world.now);
    world.carry_out(effects);
    world.deliver_all();
    assert_eq!((world.text.as_str(), world.begun, world.endings.len()), ("ab", 0, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("FREESIDE_TEST_LONG").is_some() { 20_000 } else { 1_000 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cuts, repetitions and losses at random: the answer is whole, and asked once.
    #[test]
    fn whatever_breaks_the_answer_is_whole(faults in proptest::collection::vec(0..10_u8, 0..60)) {
        let words: Vec<String> = (0..20).map(|index| format!("w{index} ")).collect();
        let mut world = World::connected(&words.iter().map(String::as_str).collect::<Vec<_>>());
        world.say("q");
        let mut cuts_in_vain = 0;
        for fault in faults {
            let before = world.text.len();
            match fault {
                0 if cuts_in_vain < 4 => {
                    world.cut();
                    cuts_in_vain += 1;
                    world.wait();
                    world.deliver();
                }
                1 => { if let Some(frame) = world.wire.front().cloned() { world.wire.push_front(frame); } }
                2 => {
                    // A frame that was heard before comes again.
                    let first = world.answers["q"][0].clone();
                    world.wire.push_front(first);
                }
                3 => world.event(Event::Returned),
                4 => world.event(Event::Frame(FromServer::Unknown)),
                _ => { world.deliver(); }
            }
            if world.text.len() > before { cuts_in_vain = 0; }
        }
        world.deliver_all();
        prop_assert_eq!(&world.text, &words.concat());
        prop_assert_eq!(world.begun, 1);
        prop_assert_eq!(world.endings.len(), 1);
        prop_assert_eq!(world.started, 1);
    }
}
