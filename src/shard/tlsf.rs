//! A two-level segregated fit heap (TLSF: Masmano, Ripoll, Crespo, Real 2004) over a region, and the
//! moving of blocks that makes one hole of many.
//!
//! ```text
//!  block:  size in words │ 1 bit: free │ the block before     one word, then
//!          what the owner keeps there                         while it is used
//!          link of its class, …                               while it is free
//! ```
//!
//! Blocks adjoin each other from `start` to `end`; no two free ones do. Free ones stand in a list by
//! class, 32 classes to each power of two, so taking and freeing are O(1). A heap does not know what is
//! in a block: it tells its owner, who mends what points there, when it moves one.

use core::iter;

use super::{
    list,
    region::{Offset, Pair, Region},
};

/// The heap of one shard.
pub struct Heap {
    classes: Offset,
    start: Offset,
    end: Offset,
    free_words: u32,
    /// Whether the hole that is made by moving grows down.
    is_downward: bool,
    /// Which powers of two have a free block, and which of their classes.
    levels: u32,
    occupied: [u32; LEVELS],
}

impl Heap {
    /// The words of a block that are the heap's own.
    pub const HEADER: u32 = 1;

    /// The smallest block, in words. Less is never split off.
    pub const MIN_BLOCK: u32 = 16;

    /// How many words a block may have beyond those that were asked for: a rest that is no block.
    pub const MAX_SURPLUS: u32 = Self::MIN_BLOCK - 1;

    /// How many words the lists of classes take for a heap of `len` words.
    pub fn class_words(len: u32) -> u32 {
        let (level, _) = class(len);
        (level + 1) * CLASSES
    }

    /// A heap that is one free block, from `start` to `end`, with its lists at `classes`.
    pub fn new(region: &Region, classes: Offset, start: Offset, end: Offset) -> Self {
        let lists = Self::class_words(end - start);
        (classes..classes + lists).for_each(|class| list::anchor(region, class));
        let mut heap = Self {
            classes,
            start,
            end,
            free_words: 0,
            is_downward: false,
            levels: 0,
            occupied: [0; LEVELS],
        };
        heap.insert_free(
            region,
            Block {
                at: start,
                size: end - start,
                before: start,
            },
        );
        heap
    }

    /// All words of the heap.
    pub fn capacity(&self) -> u32 {
        self.end - self.start
    }

    /// The words of all free blocks.
    pub fn free_words(&self) -> u32 {
        self.free_words
    }

    /// The size of a used block in words, its header included: what was asked for, or a little more.
    pub fn size(region: &Region, at: Offset) -> u32 {
        Block::load(region, at).size
    }

    /// Takes a block of at least `size` words, header included. `None` if no hole is large enough.
    pub fn allocate(&mut self, region: &Region, size: u32) -> Option<Offset> {
        let size = size.max(Self::MIN_BLOCK);
        if self.free_words < size {
            return None;
        }
        let at = self.find_fit(region, size)?;
        let block = self.remove_free(region, at);
        self.trim(region, block, size);
        Some(at)
    }

    /// Gives a block back and merges it with what is free beside it.
    pub fn free(&mut self, region: &Region, at: Offset) {
        let mut block = Block::load(region, at);
        if let Some(after) = self
            .after(region, block)
            .filter(|after| is_free(region, after.at))
        {
            block.size += self.remove_free(region, after.at).size;
        }
        if let Some(before) = self.before(block).filter(|&before| is_free(region, before)) {
            let size = block.size;
            block = self.remove_free(region, before);
            block.size += size;
        }
        self.insert_free(region, block);
    }

    /// Cuts a used block down to `size` words, if what is left over makes a block.
    pub fn shrink(&mut self, region: &Region, at: Offset, size: u32) {
        let block = Block::load(region, at);
        self.trim(region, block, size.max(Self::MIN_BLOCK));
    }

    /// Takes a block of at least `size` words by moving used ones out of the way: from the largest hole up to the end
    /// of the heap, then down to its start, each neighbour goes to another hole if there is one for it,
    /// else to the other side of this one. No free word is lost by a move, so this succeeds whenever as
    /// many are free in all, unless more than `most` words would be moved. Then the hole stays as large as it has
    /// become, so that another call goes on from there.
    /// `carry` does each move of an owner's words, by [`Move::carry`], and mends what points there; what they
    /// leave behind is zeroed.
    pub fn allocate_by_moving(
        &mut self,
        region: &Region,
        size: u32,
        max_moved: u32,
        mut relocate: impl FnMut(&Region, Move),
    ) -> Option<Offset> {
        let size = size.max(Self::MIN_BLOCK);
        if self.free_words < size {
            return None;
        }
        let largest = self.largest(region)?;
        let hole = self.remove_free(region, largest);
        let mut hole = self.set(region, hole, USED);
        let mut left = max_moved;
        while hole.size < size {
            let after = self.after(region, hole);
            self.is_downward = if self.is_downward {
                hole.at > self.start
            } else {
                after.is_none()
            };
            let after = after.filter(|_| !self.is_downward);
            let next = after.unwrap_or_else(|| Block::load(region, hole.before));
            if !is_free(region, next.at) {
                let Some(rest) = left.checked_sub(next.size) else {
                    break;
                };
                left = rest;
            }
            hole = match after {
                Some(after) => self.grow_up(region, hole, after, &mut relocate),
                None => self.grow_down(region, hole, &mut relocate),
            };
        }
        region.wipe(hole.at + Self::HEADER, hole.size - Self::HEADER);
        if hole.size < size {
            self.free(region, hole.at);
            return None;
        }
        self.trim(region, hole, size);
        Some(hole.at)
    }

    /// Checks that blocks adjoin, that free ones do not, and that the lists hold each free one; gives
    /// the used blocks in order. For tests.
    #[cfg(any(test, feature = "__internals"))]
    pub fn validate(&self, region: &Region) -> Vec<Offset> {
        let (mut used, mut free, mut words) = (Vec::new(), Vec::new(), 0);
        let (mut at, mut before) = (self.start, self.start);
        while at < self.end {
            let block = Block::load(region, at);
            assert_eq!(block.before, before, "a block knows the one before it");
            assert!(
                block.size >= Self::MIN_BLOCK,
                "no block is smaller than the smallest"
            );
            if is_free(region, at) {
                assert!(
                    free.last() != Some(&before) || at == self.start,
                    "free blocks are merged"
                );
                words += block.size;
                free.push(at);
            } else {
                used.push(at);
            }
            (before, at) = (at, at + block.size);
        }
        assert_eq!(at, self.end, "blocks fill the heap");
        assert_eq!(words, self.free_words, "free words are counted");
        self.validate_classes(region, free);
        used
    }

    #[cfg(any(test, feature = "__internals"))]
    fn validate_classes(&self, region: &Region, mut free: Vec<Offset>) {
        let mut listed = Vec::new();
        for class_number in 0..Self::class_words(self.capacity()) {
            let links = list::validate(region, self.classes + class_number);
            let (level, column) = (class_number / CLASSES, class_number % CLASSES);
            let bit = self.occupied[level as usize] >> column & 1;
            assert_eq!(
                bit == 1,
                !links.is_empty(),
                "class {class_number} and its bit agree"
            );
            for link in links {
                let size = Block::load(region, link - Self::HEADER).size;
                assert_eq!(class(size), (level, column), "a free block is in its class");
                listed.push(link - Self::HEADER);
            }
        }
        listed.sort_unstable();
        free.sort_unstable();
        assert_eq!(listed, free, "every free block is listed");
        (0..LEVELS).for_each(|level| {
            assert_eq!(self.levels >> level & 1 == 1, self.occupied[level] != 0);
        });
    }

    /// Takes a block of exactly `size` words, or one that leaves a block over.
    fn allocate_whole(&mut self, region: &Region, size: u32) -> Option<Offset> {
        let exact = self.among_first(region, size, |found| found == size);
        let at = exact.or_else(|| self.find_fit(region, size + Self::MIN_BLOCK))?;
        let block = self.remove_free(region, at);
        self.trim(region, block, size);
        Some(at)
    }

    /// A free block that holds `size` words: one of the first few of its own class, else the first of
    /// any class of which each block does.
    fn find_fit(&self, region: &Region, size: u32) -> Option<Offset> {
        let (level, column) = class(size);
        let near = self.among_first(region, size, |found| found >= size);
        near.or_else(|| self.first_above(region, level, column))
    }

    /// One of the first few blocks in the class of a size whose own size will do.
    fn among_first(
        &self,
        region: &Region,
        size: u32,
        will_do: impl Fn(u32) -> bool,
    ) -> Option<Offset> {
        let (level, column) = class(size);
        let list = self.list(level, column);
        let links = iter::successors(list::first(region, list), |&link| {
            list::next(region, list, link)
        });
        let mut blocks = links
            .take(MAX_TRIES)
            .map(|link| Block::load(region, link - Self::HEADER));
        blocks
            .find(|block| will_do(block.size))
            .map(|block| block.at)
    }

    /// The first block of the next occupied class above one.
    fn first_above(&self, region: &Region, level: u32, column: u32) -> Option<Offset> {
        let columns = self.occupied[level as usize] & (!0_u32).checked_shl(column + 1).unwrap_or(0);
        let (level, columns) = if columns != 0 {
            (level, columns)
        } else {
            let levels = self.levels & (!0_u32).checked_shl(level + 1).unwrap_or(0);
            let level = levels.checked_ilog2().map(|_| levels.trailing_zeros())?;
            (level, self.occupied[level as usize])
        };
        let link = list::first(region, self.list(level, columns.trailing_zeros()))?;
        Some(link - Self::HEADER)
    }

    /// A block of the highest occupied class: the one that came last, where an attempt may have left off.
    fn largest(&self, region: &Region) -> Option<Offset> {
        let level = self.levels.checked_ilog2()?;
        let column = self.occupied[level as usize].checked_ilog2()?;
        list::last(region, self.list(level, column)).map(|link| link - Self::HEADER)
    }

    /// Adds the block above a hole to it: a free one as it is, a used one moved elsewhere or below.
    fn grow_up(
        &mut self,
        region: &Region,
        hole: Block,
        after: Block,
        relocate: &mut impl FnMut(&Region, Move),
    ) -> Block {
        if is_free(region, after.at) {
            self.remove_free(region, after.at);
        } else if let Some(to) = self.allocate_whole(region, after.size) {
            relocate(
                region,
                Move {
                    from: after.at,
                    to,
                    size: after.size,
                },
            );
        } else {
            relocate(
                region,
                Move {
                    from: after.at,
                    to: hole.at,
                    size: after.size,
                },
            );
            self.set(
                region,
                Block {
                    at: hole.at,
                    before: hole.before,
                    ..after
                },
                USED,
            );
            let hole = Block {
                at: hole.at + after.size,
                before: hole.at,
                ..hole
            };
            return self.set(region, hole, USED);
        }
        self.set(
            region,
            Block {
                size: hole.size + after.size,
                ..hole
            },
            USED,
        )
    }

    /// Adds the block below a hole to it, in the same way.
    fn grow_down(
        &mut self,
        region: &Region,
        hole: Block,
        relocate: &mut impl FnMut(&Region, Move),
    ) -> Block {
        let before = Block::load(region, hole.before);
        if is_free(region, before.at) {
            self.remove_free(region, before.at);
        } else if let Some(to) = self.allocate_whole(region, before.size) {
            relocate(
                region,
                Move {
                    from: before.at,
                    to,
                    size: before.size,
                },
            );
        } else {
            let (at, to) = (before.at, before.at + hole.size);
            relocate(
                region,
                Move {
                    from: at,
                    to,
                    size: before.size,
                },
            );
            self.set(
                region,
                Block {
                    at: to,
                    before: at,
                    ..before
                },
                USED,
            );
            return self.set(
                region,
                Block {
                    size: hole.size,
                    ..before
                },
                USED,
            );
        }
        // Taking a hole may have split the one below, so what stands before is read again.
        let before = Block::load(region, before.at);
        self.set(
            region,
            Block {
                size: before.size + hole.size,
                ..before
            },
            USED,
        )
    }

    /// Makes a block that is in no list a used one of `size` words and gives back the rest of it.
    fn trim(&mut self, region: &Region, block: Block, size: u32) {
        let rest = block.size - size;
        if rest < Self::MIN_BLOCK {
            self.set(region, block, USED);
            return;
        }
        self.set(region, Block { size, ..block }, USED);
        let rest = Block {
            at: block.at + size,
            size: rest,
            before: block.at,
        };
        self.set(region, rest, USED);
        self.free(region, rest.at);
    }

    /// Writes a block's header, and its place into the block after it.
    fn set(&self, region: &Region, block: Block, free: u32) -> Block {
        region.set_pair(block.at, Pair::new(block.size | free, block.before));
        if let Some(after) = self.after(region, block) {
            let size = region.pair(after.at).low;
            region.set_pair(after.at, Pair::new(size, block.at));
        }
        block
    }

    /// Puts a block into the list of its class.
    fn insert_free(&mut self, region: &Region, block: Block) {
        self.set(region, block, FREE);
        let link = block.at + Self::HEADER;
        region.store(link, 0);
        let (level, column) = class(block.size);
        list::push(region, self.list(level, column), link);
        self.levels |= 1 << level;
        self.occupied[level as usize] |= 1 << column;
        self.free_words += block.size;
    }

    /// Takes a free block out of its list.
    fn remove_free(&mut self, region: &Region, at: Offset) -> Block {
        let block = Block::load(region, at);
        let around = list::unlink(region, at + Self::HEADER);
        if around.low == around.high {
            let (level, column) = class(block.size);
            self.occupied[level as usize] &= !(1 << column);
            if self.occupied[level as usize] == 0 {
                self.levels &= !(1 << level);
            }
        }
        self.free_words -= block.size;
        block
    }

    fn after(&self, region: &Region, block: Block) -> Option<Block> {
        let at = block.at + block.size;
        (at < self.end).then(|| Block::load(region, at))
    }

    fn before(&self, block: Block) -> Option<Offset> {
        (block.at > self.start).then_some(block.before)
    }

    fn list(&self, level: u32, column: u32) -> Offset {
        self.classes + level * CLASSES + column
    }
}

/// A used block that is to be moved, as large as it is. The two places may overlap.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    /// Where it is.
    pub from: Offset,
    /// Where it will be.
    pub to: Offset,
    size: u32,
}

impl Move {
    /// Returns the size of the block in words.
    #[cfg(feature = "__internals")]
    pub fn words(&self) -> u32 {
        self.size
    }

    /// Moves the owner's words.
    pub fn apply(self, region: &Region) {
        let own = Heap::HEADER;
        region.shift(self.from + own, self.to + own, self.size - own);
    }
}

/// What a block's header says.
#[derive(Clone, Copy)]
struct Block {
    at: Offset,
    size: u32,
    before: Offset,
}

impl Block {
    fn load(region: &Region, at: Offset) -> Self {
        let header = region.pair(at);
        Self {
            at,
            size: header.low & !FREE,
            before: header.high,
        }
    }
}

fn is_free(region: &Region, at: Offset) -> bool {
    region.pair(at).low & FREE != 0
}

/// The level and column of the class that holds blocks of a size: sizes below 64 have one each.
const fn class(size: u32) -> (u32, u32) {
    if size < CLASSES {
        return (0, size);
    }
    let power = size.ilog2();
    (
        power - COLUMN_BITS + 1,
        size >> (power - COLUMN_BITS) & (CLASSES - 1),
    )
}

const FREE: u32 = 1 << 31;
const USED: u32 = 0;
const COLUMN_BITS: u32 = 5;
const CLASSES: u32 = 1 << COLUMN_BITS;
const LEVELS: usize = (u32::BITS - COLUMN_BITS) as usize;
/// How many blocks of a class are looked at for one that is large enough.
const MAX_TRIES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_the_order_of_sizes() {
        let number = |size| {
            let (level, column) = class(size);
            level * CLASSES + column
        };
        assert!((1..100_000).all(|size| number(size) <= number(size + 1)));
        assert!(
            (1..63).all(|size| number(size) < number(size + 1)),
            "small sizes have one each"
        );
        assert!((class((1 << 31) - 1).0 as usize) < LEVELS);
    }
}
