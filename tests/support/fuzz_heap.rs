//! Invariants of the heap under any sequence of allocating, freeing, moving and shrinking. Run by
//! the fuzz target, and on its corpus.

use arbitrary::{Arbitrary, Unstructured};
use sessile::internals::{region::Region, tlsf::Heap};

#[derive(Arbitrary, Debug)]
enum Op {
    Allocate { size: u8 },
    AllocateByMoving { size: u16, max_moved: Option<u16> },
    Free { which: u8 },
    Shrink { which: u8, size: u8 },
}

/// Runs the bytes as operations on a heap whose blocks are filled with distinct marks.
pub(crate) fn heap(bytes: &[u8]) {
    let lists = 1 + Heap::class_words(END - 1);
    let region = Region::new(END).expect("memory");
    let mut heap = Heap::new(&region, 1, lists, END);
    let mut blocks: Vec<MarkedBlock> = Vec::new();
    let mut bytes = Unstructured::new(bytes);
    let mut mark = 0;
    while let Ok(op) = if bytes.is_empty() {
        return;
    } else {
        Op::arbitrary(&mut bytes)
    } {
        mark += 1;
        match op {
            Op::Allocate { size } => {
                let at = heap.allocate(&region, size.into());
                blocks.extend(at.map(|at| MarkedBlock::write(&region, at, mark)));
            }
            Op::AllocateByMoving { size, max_moved } => {
                let size = u32::from(size) % (END / 2);
                let fits = heap.free_words() >= size.max(Heap::MIN_BLOCK);
                let max_moved = max_moved.map_or(u32::MAX, u32::from);
                let mut words = 0;
                let at = heap.allocate_by_moving(&region, size, max_moved, |region, moved| {
                    moved.apply(region);
                    words += moved.words();
                    let block = blocks.iter_mut().find(|block| block.at == moved.from);
                    block.expect("only used blocks move").at = moved.to;
                });
                assert!(words <= max_moved, "at most `max_moved` words are moved");
                let is_bounded = max_moved < u32::MAX;
                assert!(
                    at.is_none() || fits,
                    "an allocation fits into the free words"
                );
                assert!(
                    at.is_some() || !fits || is_bounded,
                    "moving succeeds if enough words are free"
                );
                blocks.extend(at.map(|at| MarkedBlock::write(&region, at, mark)));
            }
            Op::Free { which } if !blocks.is_empty() => {
                let block = blocks.swap_remove(usize::from(which) % blocks.len());
                heap.free(&region, block.at);
            }
            Op::Shrink { which, size } if !blocks.is_empty() => {
                let which = usize::from(which) % blocks.len();
                let block = &mut blocks[which];
                let size = u32::from(size).min(Heap::size(&region, block.at));
                heap.shrink(&region, block.at, size);
                block.words = block
                    .words
                    .min(Heap::size(&region, block.at) - Heap::HEADER);
            }
            _ => {}
        }
        check(&heap, &region, &blocks);
    }
}

fn check(heap: &Heap, region: &Region, blocks: &[MarkedBlock]) {
    let mut expected: Vec<_> = blocks.iter().map(|block| block.at).collect();
    expected.sort_unstable();
    assert_eq!(
        heap.validate(region),
        expected,
        "the used blocks are the allocated ones"
    );
    blocks.iter().for_each(|block| block.check(region));
}

/// A block and the mark that was written into it.
struct MarkedBlock {
    at: u32,
    words: u32,
    mark: u64,
}

impl MarkedBlock {
    fn write(region: &Region, at: u32, mark: u64) -> Self {
        let words = Heap::size(region, at) - Heap::HEADER;
        (0..words).for_each(|i| region.store(at + Heap::HEADER + i, mark << 32 | u64::from(i)));
        Self { at, words, mark }
    }

    fn check(&self, region: &Region) {
        for i in 0..self.words {
            let word = region.load(self.at + Heap::HEADER + i);
            assert_eq!(
                word,
                self.mark << 32 | u64::from(i),
                "a block keeps its mark"
            );
        }
    }
}

const END: u32 = 3_000;
