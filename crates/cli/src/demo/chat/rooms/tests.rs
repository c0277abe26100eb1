use std::time::Duration;

use tidewire::server::{AddressLimits, ClientAddress};

use super::super::limits::MAX_MEMBERS;
use super::super::picture::tests::png;
use super::*;

fn rooms() -> Rooms {
    Rooms::new(UNIX_EPOCH)
}

fn member(number: u64) -> Member {
    Member { number, network: None }
}

/// The result of `enter` for a member with this name.
fn entered(name: &str, is_new: bool) -> Result<(Person, bool), Refusal> {
    Ok((person(name), is_new))
}

fn network(ip: &str) -> Option<ClientNetwork> {
    AddressLimits::default().network_of(ClientAddress::new(ip.parse().expect("an address")))
}

fn person(name: &str) -> Person {
    Person { id: format!("id of {name}"), name: name.to_owned() }
}

fn say(rooms: &Rooms, room: &str, id: impl Into<String>, content: Content) -> Message {
    rooms.say(room, id.into(), person("Ann"), content, UNIX_EPOCH).expect("the message is accepted").0
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn picture(len: usize) -> Content {
    Content::Picture(Picture::new(&png(1, 1, len)).expect("a picture"))
}

#[test]
fn a_person_with_several_tabs_is_counted_once() {
    let (rooms, now) = (rooms(), Instant::now());
    for number in [1, 2] {
        rooms.enter("lobby", member(number), &person("Ann"), now).expect("it has room");
    }
    rooms.enter("lobby", member(3), &person("Ben"), now).expect("it has room");
    assert_eq!(rooms.people("lobby"), [person("Ann"), person("Ben")]);
    assert_eq!(rooms.list().first(), Some(&RoomSummary { name: "lobby".into(), people: 2 }));
    rooms.leave("lobby", member(1), now);
    assert_eq!(rooms.people("lobby"), [person("Ann"), person("Ben")], "one tab is still open");
    assert_eq!(rooms.leave_all(member(2), now).as_deref(), Some("lobby"));
    assert_eq!(rooms.people("lobby"), [person("Ben")]);
    assert_eq!(rooms.leave_all(member(2), now), None);
}

#[test]
fn what_changes_nothing_is_not_announced() {
    let (rooms, now) = (rooms(), Instant::now());
    assert_eq!(rooms.enter("lobby", member(1), &person("Ann"), now), entered("Ann", true));
    assert!(rooms.take_announcements(now).1, "a room has one person more");
    assert_eq!(rooms.enter("lobby", member(1), &person("Ann"), now), entered("Ann", false));
    let named = |name: &str| Person { name: name.to_owned(), ..person("Ann") };
    assert_eq!(rooms.rename("lobby", member(1), &named("Ann")), Ok(false));
    assert_eq!(rooms.rename("lobby", member(1), &named("Anna")), Ok(true));
    assert!(rooms.schedule_announcement("lobby"));
    assert_eq!(rooms.take_announcements(now), (vec![("lobby".to_owned(), vec![named("Anna")])], false));
}

#[test]
fn the_public_id_of_a_person_is_the_same_for_the_same_secret_and_does_not_contain_it() {
    let rooms = rooms();
    assert_eq!(rooms.person_id("secret"), rooms.person_id("secret"));
    assert_ne!(rooms.person_id("secret"), rooms.person_id("other"));
    assert!(!rooms.person_id("secret").contains("secret"));
}

#[test]
fn there_are_at_most_40_rooms() {
    let (rooms, now) = (rooms(), Instant::now());
    for number in PERMANENT.len()..MAX_ROOMS {
        assert_eq!(rooms.open(&format!("room {number}"), member(0), now), Ok(true));
    }
    assert_eq!(rooms.open("one more", member(0), now), Err(Refusal::TooManyRooms));
    assert_eq!(rooms.open("lobby", member(0), now), Ok(false), "it exists already");
    assert_eq!(rooms.list().len(), MAX_ROOMS);
}

#[test]
fn a_room_that_people_have_opened_goes_three_minutes_after_the_last_of_them() {
    let (rooms, now) = (rooms(), Instant::now());
    rooms.open("tea", member(0), now).expect("there is room");
    rooms.enter("tea", member(1), &person("Ann"), now).expect("it has room");
    say(&rooms, "tea", "1", picture(1_000));
    let left = now + EMPTY_ROOM_LIFE * 2;
    assert_eq!(rooms.take_announcements(left).0, [], "a room with people stays");
    rooms.leave("tea", member(1), left);
    let just_before = left + EMPTY_ROOM_LIFE - Duration::from_millis(1);
    rooms.enter("tea", member(2), &person("Ann"), just_before).expect("it still exists");
    rooms.leave("tea", member(2), just_before);
    let at_last = just_before + EMPTY_ROOM_LIFE;
    assert_eq!(rooms.enter("tea", member(3), &person("Ann"), at_last), Err(Refusal::NoRoom));
    assert_eq!(
        rooms.enter("lobby", member(3), &person("Ann"), at_last),
        entered("Ann", true),
        "some rooms always exist"
    );
    let state = rooms.lock();
    assert_eq!((state.pictures.len(), state.picture_bytes), (0, 0));
}

#[test]
fn a_room_has_at_most_200_connections() {
    let (rooms, now) = (rooms(), Instant::now());
    for number in 0..MAX_MEMBERS as u64 {
        assert_eq!(rooms.enter("lobby", member(number), &person("Ann"), now), entered("Ann", true));
    }
    assert_eq!(rooms.enter("lobby", member(1_000), &person("Ben"), now), Err(Refusal::RoomIsFull));
    assert_eq!(
        rooms.enter("lobby", member(0), &person("Ann"), now),
        entered("Ann", false),
        "who is in may join again"
    );
}

#[test]
fn a_room_keeps_its_last_50_messages() {
    let rooms = rooms();
    for number in 0..60 {
        say(&rooms, "lobby", number.to_string(), text("hello"));
    }
    let ids: Vec<_> = rooms.messages("lobby").into_iter().map(|message| message.id).collect();
    assert_eq!(ids, (10..60).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_message_that_is_sent_again_is_kept_once() {
    let rooms = rooms();
    let sent = say(&rooms, "lobby", "1", text("hello"));
    let (again, is_new) =
        rooms.say("lobby", "1".into(), person("Ann"), text("hello"), UNIX_EPOCH).expect("it is accepted");
    assert_eq!((again.key, is_new), (sent.key, false));
    let (other, is_new) =
        rooms.say("lobby", "1".into(), person("Ben"), text("hello"), UNIX_EPOCH).expect("it is accepted");
    assert!(is_new, "ids of different people do not collide");
    assert_eq!(rooms.messages("lobby").len(), 2);
    assert_eq!(other.from, person("Ben"));
}

#[test]
fn the_id_of_a_message_has_one_to_36_bytes() {
    let rooms = rooms();
    for (id, expected) in [("", false), (&*"x".repeat(36), true), (&*"x".repeat(37), false)] {
        let said = rooms.say("lobby", id.into(), person("Ann"), text("hello"), UNIX_EPOCH);
        assert_eq!(said.is_ok(), expected, "{id:?}");
    }
}

#[test]
fn the_pictures_of_all_rooms_have_at_most_8_mib_and_the_oldest_ones_go() {
    let rooms = rooms();
    let size = MAX_KEPT_PICTURE_BYTES / 16;
    let first = say(&rooms, "lobby", "first", picture(size));
    for number in 0..15 {
        say(&rooms, "pictures", number.to_string(), picture(size));
    }
    assert!(rooms.picture("lobby", &first.key).is_some(), "exactly the limit is kept");
    let last = say(&rooms, "rust", "last", picture(100));
    assert_eq!(rooms.picture("lobby", &first.key), None);
    assert!(rooms.picture("rust", &last.key).is_some());
    assert!(matches!(rooms.messages("lobby").as_slice(), [Message { content: Content::Gone, .. }]));
    // A picture whose message is forgotten frees its bytes too.
    for number in 0..60 {
        say(&rooms, "pictures", format!("text {number}"), text("hello"));
    }
    let state = rooms.lock();
    assert_eq!((state.pictures.len(), state.picture_bytes), (1, 100));
}

#[test]
fn a_person_whose_name_looks_like_that_of_somebody_else_gets_a_number() {
    let (rooms, now) = (rooms(), Instant::now());
    assert_eq!(rooms.enter("lobby", member(1), &person("Ann"), now), entered("Ann", true));
    let ben = |name: &str| Person { id: "id of Ben".into(), name: name.into() };
    let with_cyrillic = "\u{410}nn";
    for (number, name, shown) in [(2, with_cyrillic, "\u{410}nn 2"), (3, "ANN", "ANN 2"), (4, "Ben", "Ben")] {
        assert_eq!(rooms.enter("lobby", member(number), &ben(name), now), Ok((ben(shown), true)));
    }
    assert_eq!(rooms.enter("lobby", member(5), &person("Ann"), now), entered("Ann", true), "her second tab");
    let cleo = |name: &str| Person { id: "id of Cleo".into(), name: name.into() };
    assert_eq!(rooms.enter("lobby", member(6), &cleo("ann"), now), Ok((cleo("ann 3"), true)));
    assert_eq!(rooms.enter("rust", member(7), &cleo("ann"), now), Ok((cleo("ann"), true)), "in another room");
}

#[test]
fn nobody_takes_a_name_that_looks_like_that_of_somebody_else_in_the_room() {
    let (rooms, now) = (rooms(), Instant::now());
    for (number, name) in [(1, "Iris"), (2, "Ben")] {
        rooms.enter("lobby", member(number), &person(name), now).expect("it has room");
    }
    let ben = |name: &str| Person { name: name.to_owned(), ..person("Ben") };
    for refused in ["Iris", "iris", "lris", "1ris", "\u{406}ris"] {
        assert_eq!(rooms.rename("lobby", member(2), &ben(refused)), Err(Refusal::NameTaken), "{refused}");
    }
    assert_eq!(rooms.rename("lobby", member(2), &ben("BEN")), Ok(true), "it is his own name");
    rooms.leave("lobby", member(1), now);
    assert_eq!(rooms.rename("lobby", member(2), &ben("Iris")), Ok(true));
    assert_eq!(rooms.people("lobby"), [ben("Iris")]);
}

#[test]
fn two_hundred_people_of_one_name_are_told_apart() {
    let (rooms, now) = (rooms(), Instant::now());
    let mut names = BTreeSet::new();
    for number in 0..MAX_MEMBERS as u64 {
        let guest = Person { id: format!("{number}"), name: "Guest".into() };
        let (shown, _) = rooms.enter("lobby", member(number), &guest, now).expect("a number is free");
        names.insert(shown.name);
    }
    assert_eq!(names.len(), MAX_MEMBERS);
}

#[test]
fn a_room_whose_name_looks_like_that_of_another_one_is_not_opened() {
    let (rooms, now) = (rooms(), Instant::now());
    for name in ["l0bby", "1obby", "\u{440}ictures"] {
        assert_eq!(rooms.open(name, member(0), now), Err(Refusal::RoomNameTaken), "{name}");
    }
    assert_eq!(rooms.open("lobby 2", member(0), now), Ok(true));
}

#[test]
fn the_visitors_of_one_address_open_eight_rooms_and_others_still_open_theirs() {
    let (rooms, now) = (rooms(), Instant::now());
    let (one, other, private) = (network("203.0.113.1"), network("2001:db8::1"), network("127.0.0.1"));
    let open = |number: usize, network| rooms.open(&format!("room {number}"), rooms.new_member(network), now);
    for number in 0..8 {
        assert_eq!(open(number, one), Ok(true));
    }
    assert_eq!(open(8, one), Err(Refusal::TooManyRoomsOfAddress));
    assert_eq!(open(7, one), Ok(false), "it exists already");
    assert_eq!(open(8, other), Ok(true));
    for number in 9..20 {
        assert_eq!(open(number, private), Ok(true), "an address that may be a proxy is not limited");
    }
    // A room that is gone does not count any more.
    let later = now + EMPTY_ROOM_LIFE;
    assert_eq!(rooms.open("room 30", rooms.new_member(one), later), Ok(true));
}

#[test]
fn one_address_has_a_quarter_of_a_room() {
    let (rooms, now) = (rooms(), Instant::now());
    let enter = |network| rooms.enter("lobby", rooms.new_member(network), &person("Ann"), now);
    for _ in 0..50 {
        assert_eq!(enter(network("203.0.113.1")), entered("Ann", true));
    }
    assert_eq!(enter(network("203.0.113.1")), Err(Refusal::TooManyOfAddress));
    assert_eq!(enter(network("203.0.113.2")), entered("Ann", true));
}
