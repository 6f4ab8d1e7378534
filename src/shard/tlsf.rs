//! A two-level segregated fit heap (TLSF: Masmano, Ripoll, Crespo, Real 2004) over a region.
//!
//! ```text
//!  block:  size in words │ 1 bit: free │ the block before     one word, then
//!          the owner's words                                  while it is used
//!          link of its class, …                               while it is free
//! ```
//!
//! Blocks adjoin each other from `start` to `end`, and no two free blocks do. A free block is in
//! the list of its class. There are 32 classes for each power of two, so allocating and freeing are
//! O(1). A heap does not know what is in a block. Moving blocks into one hole is in `compaction`.

pub mod compaction;

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
    /// True while compaction extends its hole downwards.
    is_downward: bool,
    /// Bitmap of the powers of two that have a free block, and for each one a bitmap of its
    /// classes.
    levels: u32,
    occupied: [u32; LEVELS],
}

impl Heap {
    /// The number of words at the start of a block that belong to the heap.
    pub const HEADER: u32 = 1;

    /// The size of the smallest block, in words. A smaller remainder is not split off.
    pub const MIN_BLOCK: u32 = 16;

    /// The maximum number of words that a block has beyond the requested size.
    pub const MAX_SURPLUS: u32 = Self::MIN_BLOCK - 1;

    /// Returns the number of words that the class lists take for a heap of `len` words.
    pub fn class_words(len: u32) -> u32 {
        let (level, _) = class(len);
        (level + 1) * CLASSES
    }

    /// Creates a heap of one free block, from `start` to `end`, with its lists at `classes`.
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
        heap.insert_free(region, Block::new(start, end - start, start));
        heap
    }

    /// Returns the number of words in all blocks.
    pub fn capacity(&self) -> u32 {
        self.end - self.start
    }

    /// Returns the number of words in free blocks.
    pub fn free_words(&self) -> u32 {
        self.free_words
    }

    /// Returns the size of a used block in words, header included: the requested size, or up to
    /// [`MAX_SURPLUS`](Self::MAX_SURPLUS) words more.
    pub fn size(region: &Region, at: Offset) -> u32 {
        Block::load(region, at).size
    }

    /// Allocates a block of at least `size` words, header included. `None` if no free block is
    /// large enough.
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

    /// Frees a block and merges it with adjacent free blocks.
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

    /// Shrinks a used block to `size` words, if the remainder makes a block.
    pub fn shrink(&mut self, region: &Region, at: Offset, size: u32) {
        let block = Block::load(region, at);
        self.trim(region, block, size.max(Self::MIN_BLOCK));
    }

    /// Checks that blocks adjoin, that free blocks do not, and that each free block is listed.
    /// Returns the used blocks in order. For tests.
    #[cfg(any(test, feature = "__internals"))]
    pub fn validate(&self, region: &Region) -> Vec<Offset> {
        let (mut used, mut free, mut words) = (Vec::new(), Vec::new(), 0);
        let (mut at, mut before) = (self.start, self.start);
        while at < self.end {
            let block = Block::load(region, at);
            assert_eq!(
                block.before, before,
                "a header has the offset of the block before"
            );
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

    /// Allocates a block of exactly `size` words, or one whose remainder makes a block.
    fn allocate_whole(&mut self, region: &Region, size: u32) -> Option<Offset> {
        let exact = self.among_first(region, size, |found| found == size);
        let at = exact.or_else(|| self.find_fit(region, size + Self::MIN_BLOCK))?;
        let block = self.remove_free(region, at);
        self.trim(region, block, size);
        Some(at)
    }

    /// Returns a free block of at least `size` words: one of the first few of its own class, or the
    /// first of the next class whose blocks are all large enough.
    fn find_fit(&self, region: &Region, size: u32) -> Option<Offset> {
        let (level, column) = class(size);
        let near = self.among_first(region, size, |found| found >= size);
        near.or_else(|| self.first_above(region, level, column))
    }

    /// Returns one of the first few blocks in the class of `size` whose own size is accepted.
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

    /// Returns the first block of the next occupied class above a class.
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

    /// Marks an unlisted block as used with `size` words, and frees the remainder.
    fn trim(&mut self, region: &Region, block: Block, size: u32) {
        let rest = block.size - size;
        if rest < Self::MIN_BLOCK {
            self.set(region, block, USED);
            return;
        }
        self.set(region, Block { size, ..block }, USED);
        let rest = Block::new(block.at + size, rest, block.at);
        self.set(region, rest, USED);
        self.free(region, rest.at);
    }

    /// Writes a block's header, and its offset into the header of the block after it.
    fn set(&self, region: &Region, block: Block, free: u32) -> Block {
        region.set_pair(block.at, Pair::new(block.size | free, block.before));
        if let Some(after) = self.after(region, block) {
            let size = region.pair(after.at).low;
            region.set_pair(after.at, Pair::new(size, block.at));
        }
        block
    }

    /// Adds a block to the list of its class.
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

    /// Removes a free block from its list.
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

/// The header of a block.
#[derive(Clone, Copy)]
struct Block {
    at: Offset,
    size: u32,
    before: Offset,
}

impl Block {
    fn new(at: Offset, size: u32, before: Offset) -> Self {
        Self { at, size, before }
    }

    fn load(region: &Region, at: Offset) -> Self {
        let header = region.pair(at);
        Self::new(at, header.low & !FREE, header.high)
    }
}

fn is_free(region: &Region, at: Offset) -> bool {
    region.pair(at).low & FREE != 0
}

/// Returns the level and column of the class for a size. Each size below 64 has a class of its own.
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
/// The maximum number of blocks of a class that are tried for a fit.
const MAX_TRIES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ordered_by_size() {
        let number = |size| {
            let (level, column) = class(size);
            level * CLASSES + column
        };
        assert!((1..100_000).all(|size| number(size) <= number(size + 1)));
        assert!(
            (1..63).all(|size| number(size) < number(size + 1)),
            "each small size has a class"
        );
        assert!((class((1 << 31) - 1).0 as usize) < LEVELS);
    }
}
