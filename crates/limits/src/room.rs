//! Room in a bounded map.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Drops about the oldest eighth when the map has reached `bound`, so that the scan is paid once per `bound / 8`
/// insertions. `last_seen` gives an entry's age, or `None` for one that must stay.
pub fn make_room<K: Eq + Hash, V, T: Ord + Copy, S: BuildHasher>(
    map: &mut HashMap<K, V, S>,
    bound: usize,
    last_seen: impl Fn(&V) -> Option<T>,
) {
    if map.len() < bound {
        return;
    }
    let mut ages: Vec<T> = map.values().filter_map(&last_seen).collect();
    if ages.is_empty() {
        return;
    }
    let nth = (bound / 8).min(ages.len() - 1);
    let cutoff = *ages.select_nth_unstable(nth).1;
    map.retain(|_, value| last_seen(value).is_none_or(|age| age > cutoff));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_leave_and_the_pinned_stay() {
        let mut map: HashMap<u32, u32> = (0..80).map(|number| (number, number)).collect();
        make_room(&mut map, 81, |age| Some(*age));
        assert_eq!(map.len(), 80);
        make_room(&mut map, 80, |age| (*age != 0).then_some(*age));
        assert!(map.contains_key(&0) && map.contains_key(&79) && !map.contains_key(&1));
        assert_eq!(map.len(), 69);
    }
}
