//! Counters against numbers worked out by hand.

mod device;

use device::{Gpu, kernel};
use softgpu::control;

/// A number of the JSON by its path.
fn number(path: &[&str]) -> u64 {
    let text = softgpu::counters();
    let mut at = 0;
    for key in path {
        let quoted = format!("\"{key}\":");
        at += text[at..].find(&quoted).unwrap_or_else(|| panic!("no {key} in {text}")) + quoted.len();
    }
    text[at..].chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

fn count(body: &str, grid: u32, block: u32, inputs: usize) {
    let gpu = Gpu::new();
    assert!(control::set("counters", "1"));
    softgpu::reset_counters();
    let (a, b) = (gpu.upload(&vec![0f32; inputs]), gpu.alloc(4 * inputs));
    gpu.run(&kernel(body), grid, block, &[a, b, 0]).unwrap();
    drop(gpu);
}

static SERIAL: std::sync::Mutex<()> = std::sync::Mutex::new(());

const COPY: &str = "mov.u32 %r1, %ntid.x; mad.lo.u32 %r2, %bid, %r1, %t; mul.wide.u32 %rd1, %r2, 4; add.u64 %rd2, %b, %rd1;
    mul.wide.u32 %rd3, %r2, STRIDE; add.u64 %rd4, %a, %rd3; ld.global.f32 %f1, [%rd4]; st.global.f32 [%rd2], %f1;";

#[test]
fn coalesced_and_strided() {
    let _one = SERIAL.lock();
    for (stride, sectors) in [("4", 4), ("8", 8), ("32", 32)] {
        count(&COPY.replace("STRIDE", stride), 4, 64, 2048);
        let warps = 8;
        assert_eq!(number(&["k", "global_memory", "load", "bytes_requested"]), 1024);
        assert_eq!(number(&["k", "global_memory", "load", "sectors"]), warps * sectors, "stride {stride}");
        assert_eq!(number(&["k", "global_memory", "load", "sectors_coalesced"]), warps * 4);
        assert_eq!(number(&["k", "global_memory", "load", "bytes_distinct"]), 1024);
        assert_eq!(number(&["k", "global_memory", "store", "sectors"]), warps * 4);
        assert_eq!((number(&["k", "blocks"]), number(&["k", "threads"])), (4, 256));
    }
    // all lanes read one word
    count(&COPY.replace("STRIDE", "0"), 4, 64, 2048);
    assert_eq!(number(&["k", "global_memory", "load", "sectors"]), 8);
    assert_eq!(number(&["k", "global_memory", "load", "bytes_distinct"]), 4);
}

#[test]
fn bank_conflicts() {
    let _one = SERIAL.lock();
    for (stride, extra) in [(4, 0), (8, 1), (16, 3), (128, 31), (132, 0)] {
        let body = format!(
            ".shared .align 4 .b8 s[4352]; mov.u32 %r1, s; mad.lo.u32 %r2, %t, {stride}, %r1; st.shared.u32 [%r2], %t; ld.shared.u32 %r3, [%r2];"
        );
        count(&body, 1, 32, 4);
        assert_eq!(number(&["k", "shared_memory", "store", "conflicts"]), extra, "stride {stride}");
        assert_eq!(number(&["k", "shared_memory", "load", "wavefronts"]), extra + 1, "stride {stride}");
    }
    // four floats a lane: a quarter of the warp at a time, no conflict
    let body = ".shared .align 16 .b8 s[512]; mov.u32 %r1, s; mad.lo.u32 %r2, %t, 16, %r1; st.shared.v4.u32 [%r2], {%t, %t, %t, %t};";
    count(body, 1, 32, 4);
    assert_eq!(number(&["k", "shared_memory", "store", "wavefronts"]), 4);
    assert_eq!(number(&["k", "shared_memory", "store", "conflicts"]), 0);
}

#[test]
fn main_loop_and_classes() {
    let _one = SERIAL.lock();
    let body = "mov.u32 %r1, 0; mov.f32 %f1, 0f00000000;
        loop: fma.rn.f32 %f1, %f1, %f1, %f1; fma.rn.f32 %f1, %f1, %f1, %f1; add.u32 %r1, %r1, 1; setp.lt.u32 %p0, %r1, 10; @%p0 bra loop;
        bar.sync 0; st.global.f32 [%b], %f1;";
    count(&body.replace("st.global.f32 [%b], %f1;", ""), 2, 1, 4);
    assert_eq!(number(&["k", "warp_instructions", "fma_f32"]), 40);
    assert_eq!(number(&["k", "warp_instructions", "barrier"]), 2);
    assert_eq!(number(&["k", "barriers"]), 2);
    assert_eq!(number(&["k", "main_loop", "warp_instructions", "total"]), 100);
    let text = softgpu::counters();
    assert!(text.contains("\"main_loop\":{") && text.contains("\"fma_share\":0.400000"), "{text}");
}
