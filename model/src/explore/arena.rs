//! Two tables that keep equal things once and call them by number: values, and rows of numbers.
//!
//! Both compare what they keep and never a hash of it alone, so a search that rests on them is
//! exact.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Values by number.
#[derive(Debug)]
pub(super) struct Arena<T> {
    values: Vec<T>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<T: Hash + Eq> Arena<T> {
    pub(super) fn new() -> Arena<T> {
        let (values, places) = (Vec::new(), HashTable::new());
        Arena { values, places, hasher: DefaultHashBuilder::default() }
    }

    /// The number of a value, and whether it is new.
    pub(super) fn number(&mut self, value: T) -> (u32, bool) {
        let hash = self.hasher.hash_one(&value);
        let (values, hasher) = (&self.values, &self.hasher);
        let found = self.places.entry(
            hash,
            |place| values[*place as usize] == value,
            |place| hasher.hash_one(&values[*place as usize]),
        );
        match found {
            hashbrown::hash_table::Entry::Occupied(place) => (*place.get(), false),
            hashbrown::hash_table::Entry::Vacant(free) => {
                let number = numbered(values.len());
                free.insert(number);
                self.values.push(value);
                (number, true)
            }
        }
    }

    pub(super) fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

/// Rows of equally many numbers, by number.
#[derive(Debug)]
pub(super) struct Rows {
    width: usize,
    cells: Vec<u32>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Rows {
    pub(super) fn new(width: usize) -> Rows {
        let (cells, places) = (Vec::new(), HashTable::new());
        Rows { width, cells, places, hasher: DefaultHashBuilder::default() }
    }

    /// The number of a row, and whether it is new.
    pub(super) fn number(&mut self, row: &[u32]) -> (u32, bool) {
        debug_assert_eq!(row.len(), self.width, "rows have one width");
        let hash = self.hasher.hash_one(row);
        let (cells, width, hasher) = (&self.cells, self.width, &self.hasher);
        let at = |place: u32| &cells[place as usize * width..][..width];
        let found =
            self.places.entry(hash, |place| at(*place) == row, |place| hasher.hash_one(at(*place)));
        match found {
            hashbrown::hash_table::Entry::Occupied(place) => (*place.get(), false),
            hashbrown::hash_table::Entry::Vacant(free) => {
                let number = numbered(cells.len() / width);
                free.insert(number);
                self.cells.extend_from_slice(row);
                (number, true)
            }
        }
    }

    pub(super) fn get(&self, number: u32) -> &[u32] {
        &self.cells[number as usize * self.width..][..self.width]
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len() / self.width
    }

    pub(super) fn bytes(&self) -> usize {
        4 * self.cells.capacity() + 5 * self.places.capacity()
    }
}

/// A search of more than four thousand million states needs other tables.
fn numbered(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 2^32 of everything")
}
