use super::*;

fn world() -> World {
    World::new(7)
}

fn boat(world: &World, key: u64) -> Option<&Boat> {
    world.boats.iter().find(|boat| boat.key == Some(key))
}

fn bots(world: &World) -> usize {
    world.boats.iter().filter(|boat| World::is_bot(boat)).count()
}

#[test]
fn a_lone_player_has_company_and_three_players_have_no_bots() {
    let mut world = world();
    let numbers: Vec<_> = (0..3)
        .map(|key| {
            world.join(key, "", None).unwrap();
            bots(&world)
        })
        .collect();
    assert_eq!(numbers, [3, 2, 0]);
}

#[test]
fn the_number_of_players_has_a_limit_and_a_place_becomes_free_when_one_leaves() {
    let mut world = world();
    let ids: Vec<_> = (0..MAX_PLAYERS as u64).map(|key| world.join(key, "", None).unwrap()).collect();
    assert_eq!(world.join(1_000, "", None), None);
    assert_eq!(world.join(5, "again", None), Some(ids[5]), "a player who is there already needs no place");
    world.set_adrift(9);
    for _ in 0..=ADRIFT_TICKS + 1 {
        world.step();
    }
    assert_eq!(world.join(1_000, "", None), Some(ids[9]));
}

#[test]
fn a_player_who_comes_back_in_time_keeps_the_boat() {
    let mut world = world();
    let id = world.join(1, "Ann", None).unwrap();
    world.set_adrift(1);
    world.step();
    assert_eq!(world.join(1, "Ann", None), Some(id));
    for _ in 0..2 * ADRIFT_TICKS {
        world.step();
    }
    assert!(boat(&world, 1).is_some());
}

#[test]
fn the_roster_changes_when_somebody_comes_or_has_another_name() {
    let mut world = world();
    let changes = |world: &mut World, name| {
        world.join(1, name, None).unwrap();
        world.step().roster
    };
    assert!(changes(&mut world, "Ann"));
    assert!(!changes(&mut world, "Ann"));
    assert!(changes(&mut world, "Anna"));
    world.remove(1);
    assert!(world.step().roster);
}

#[test]
fn an_idle_player_is_removed_and_one_who_steers_is_not() {
    let mut world = world();
    let (idle, active) = (1, 2);
    for key in [idle, active] {
        world.join(key, "", None).unwrap();
    }
    for number in 0..=IDLE_TICKS + 1 {
        world.steer(idle, number as u8, Input { angle: 0, strength: 0 });
        world.steer(active, number as u8, Input { angle: 0, strength: 9 });
        world.step();
    }
    assert!(boat(&world, idle).is_none());
    assert!(boat(&world, active).is_some());
}

#[test]
fn each_tick_applies_one_input_in_order_and_repeated_ones_have_no_effect() {
    let mut world = world();
    world.join(1, "", None).unwrap();
    let applied: Vec<_> = [[254, 255], [255, 0], [255, 1]]
        .into_iter()
        .map(|numbers| {
            for number in numbers {
                world.steer(1, number, Input { angle: 0, strength: 255 });
            }
            world.step();
            boat(&world, 1).unwrap().applied
        })
        .collect();
    assert_eq!(applied, [254, 255, 0]);
}

#[test]
fn a_burst_of_inputs_keeps_the_latest_ones_only() {
    let mut world = world();
    world.join(1, "", None).unwrap();
    for number in 0..100 {
        world.steer(1, number, Input { angle: 0, strength: 255 });
    }
    world.step();
    assert_eq!(boat(&world, 1).unwrap().applied, 98);
}

#[test]
fn boats_stay_on_the_water_and_apart() {
    let mut world = world();
    for key in 0..8 {
        world.join(key, "", None).unwrap();
    }
    for number in 0..500_u32 {
        for key in 0..8 {
            world.steer(key, number as u8, Input { angle: 32, strength: 255 });
        }
        world.step();
        for boat in &world.boats {
            assert!((0.0..=WIDTH).contains(&boat.x) && (0.0..=HEIGHT).contains(&boat.y), "{boat:?}");
            assert!(boat.vx.hypot(boat.vy) < 500.0, "{boat:?}");
        }
    }
}

#[test]
fn a_boat_that_reaches_a_buoy_gets_its_points_and_the_round_ends() {
    let mut world = world();
    let id = world.join(1, "Ann", None).unwrap();
    let Buoy { x, y, points } = world.buoys[0];
    let sailing = world.player(1).unwrap();
    (sailing.x, sailing.y) = (x, y);
    world.buoys[1..].fill(Buoy { x: -1e4, y: -1e4, points: 1 });
    assert!(world.step().points);
    assert_eq!(boat(&world, 1).unwrap().score, u16::from(points));
    world.player(1).unwrap().score = 900;
    while world.winner.is_none() {
        world.player(1).unwrap().last_touched = world.tick;
        world.step();
    }
    assert_eq!(world.winner.map(|winner| winner.id), Some(id));
    assert!(world.boats.iter().all(|boat| boat.score <= 3));
    assert_eq!(world.seconds_left(), ROUND_SECONDS);
}

#[test]
fn an_angle_survives_its_byte() {
    for byte in 0..=255 {
        assert_eq!(angle_to_byte(byte_to_angle(byte)), byte);
    }
    assert_eq!(angle_to_byte(-0.001), 0);
}
