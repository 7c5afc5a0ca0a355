//! Modules: PTX is parsed and every kernel made ready when it is loaded.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex};

use super::{
    DEVICE, FILE_NOT_FOUND, INVALID_HANDLE, INVALID_IMAGE, INVALID_PTX, INVALID_VALUE, NO_BINARY_FOR_GPU,
    NOT_FOUND, NOT_SUPPORTED, Outcome, api, device, give, lock, ready, wrong,
};
use crate::config::config;
use crate::exec::code::{Code, Source};
use crate::lower::{Context, lower};
use crate::memory::{Allocation, Kind};
use crate::ptx::{self, PtxError, parser::Init, parser::Space};

/// A kernel and its attributes.
pub(crate) struct Function {
    pub code: Arc<Code>,
    /// Dynamic shared memory it may have (`cuFuncSetAttribute`).
    pub max_dynamic: AtomicI32,
    pub carveout: AtomicI32,
    pub module: usize,
    pub launches: AtomicU64,
}

struct Module {
    functions: HashMap<String, usize>,
    globals: HashMap<String, Arc<Allocation>>,
}

static MODULES: LazyLock<Mutex<HashMap<usize, Module>>> = LazyLock::new(|| Mutex::new(HashMap::new()));
static FUNCTIONS: LazyLock<Mutex<HashMap<usize, Arc<Function>>>> =
    LazyLock::new(|| Mutex::new(HashMap::new()));

pub(crate) fn clear() {
    let handles: Vec<usize> = lock(&MODULES).keys().copied().collect();
    for h in handles {
        let _ = unload(h);
    }
}

pub(crate) fn function(handle: *mut c_void) -> Result<Arc<Function>, u32> {
    lock(&FUNCTIONS).get(&(handle as usize)).cloned().ok_or(INVALID_HANDLE)
}

fn unload(handle: usize) -> Outcome {
    let Some(m) = lock(&MODULES).remove(&handle) else { return Err(INVALID_HANDLE) };
    let mut functions = lock(&FUNCTIONS);
    for f in m.functions.values() {
        functions.remove(f);
    }
    for g in m.globals.values() {
        DEVICE.space.free_variable(g.base);
    }
    Ok(())
}

/// Variables of a module in memory, with their initial values.
fn variables(m: &ptx::Module) -> Result<HashMap<String, Arc<Allocation>>, PtxError> {
    let mut out = HashMap::new();
    for v in &m.variables {
        let kind = match v.space {
            Space::Global => Kind::Variable(v.name.clone()),
            Space::Const => Kind::Const(v.name.clone()),
            Space::Shared => continue,
            _ => return Err(PtxError::new(v.line, format!("`{}` is not in a function", v.name))),
        };
        let Some(a) = DEVICE.space.variable(u64::from(v.size), kind) else {
            return Err(PtxError::new(v.line, format!("no memory for `{}`", v.name)));
        };
        out.insert(v.name.clone(), a);
    }
    for v in &m.variables {
        let Some(a) = out.get(&v.name) else { continue };
        let n = v.element as usize;
        let float = matches!(v.ty.as_str(), "f32" | "f64");
        for (i, init) in v.init.iter().enumerate() {
            let value = match init {
                Init::Value(x) if float && n == 4 => u64::from((*x as i64 as f32).to_bits()),
                Init::Value(x) if float => (*x as i64 as f64).to_bits(),
                Init::Value(x) => *x,
                Init::Float(x, true) if n == 4 => u64::from((f64::from_bits(*x) as f32).to_bits()),
                Init::Float(x, false) if n == 8 => f64::from(f32::from_bits(*x as u32)).to_bits(),
                Init::Float(x, _) => *x,
                Init::Address(name, off) => match out.get(name) {
                    Some(t) if n == 8 => t.base.wrapping_add(*off as u64),
                    _ => return Err(PtxError::new(v.line, format!("cannot take the address of `{name}`"))),
                },
            };
            if (i + 1) * n > v.size as usize {
                return Err(PtxError::new(v.line, format!("too many values for `{}`", v.name)));
            }
            let bytes = value.to_le_bytes();
            // SAFETY: within the variable, by the check above.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), a.host.add(i * n), n) };
        }
    }
    Ok(out)
}

fn build(text: &str) -> Result<(Vec<Arc<Code>>, HashMap<String, Arc<Allocation>>), PtxError> {
    let m = ptx::parse(text)?;
    let sm = config().sm;
    if m.target > sm {
        let message = format!("the module is for sm_{}, the device is sm_{sm}", m.target);
        return Err(PtxError { wrong_target: true, ..PtxError::new(1, message) });
    }
    let source =
        Arc::new(Source { lines: text.lines().map(str::to_string).collect(), files: m.files.clone() });
    let globals = variables(&m)?;
    let made = (|| {
        let cx = Context { module: &m, globals: &globals, source, sm };
        let mut codes = Vec::new();
        for f in m.functions.iter().filter(|f| f.entry) {
            if f.body.is_none() {
                return Err(PtxError::new(f.line, format!("kernel `{}` has no body", f.name)));
            }
            codes.push(Arc::new(lower(&cx, f)?));
        }
        Ok(codes)
    })();
    match made {
        Ok(codes) => Ok((codes, globals)),
        Err(e) => {
            for g in globals.values() {
                DEVICE.space.free_variable(g.base);
            }
            Err(e)
        }
    }
}

fn load(out: *mut *mut c_void, text: &str) -> Outcome {
    if out.is_null() {
        return Err(INVALID_VALUE);
    }
    if !text.contains(".version") {
        return wrong(INVALID_IMAGE, "the module is no PTX: it has no `.version`");
    }
    let (codes, globals) = match build(text) {
        Ok(x) => x,
        Err(e) => {
            let line = text.lines().nth(e.line as usize - 1).unwrap_or("").trim();
            let code = if e.wrong_target { NO_BINARY_FOR_GPU } else { INVALID_PTX };
            return wrong(code, format!("module rejected: {e}\n  {line}"));
        }
    };
    let handle = DEVICE.handle();
    let mut functions = HashMap::new();
    for code in codes {
        let h = DEVICE.handle();
        let limit = (48 << 10) - code.shared_packed as i32;
        functions.insert(code.name.clone(), h);
        let f = Function {
            code,
            max_dynamic: AtomicI32::new(limit.max(0)),
            carveout: AtomicI32::new(-1),
            module: handle,
            launches: AtomicU64::new(0),
        };
        lock(&FUNCTIONS).insert(h, Arc::new(f));
    }
    lock(&MODULES).insert(handle, Module { functions, globals });
    // SAFETY: not null, the caller's pointer.
    unsafe { give(out, handle as *mut c_void) }
}

/// The text of an image: PTX ends with a zero byte.
///
/// # Safety
/// `image` is null or points to a string that ends with zero, or to a binary that begins with ELF's or a fat
/// binary's mark.
unsafe fn text_of<'a>(image: *const c_void) -> Result<&'a str, u32> {
    if image.is_null() {
        return Err(INVALID_VALUE);
    }
    // SAFETY: an image has at least four bytes, or ends before.
    unsafe {
        let b = image.cast::<u8>();
        if *b == 0x7f && *b.add(1) == b'E' || *b == 0x50 && *b.add(1) == 0xed {
            return wrong(NO_BINARY_FOR_GPU, "binary modules cannot be run: the software GPU takes PTX");
        }
        match CStr::from_ptr(image.cast()).to_str() {
            Ok(s) => Ok(s),
            Err(_) => wrong(INVALID_IMAGE, "the module is no PTX: it is no text"),
        }
    }
}

pub(crate) const MAX_DYNAMIC: c_uint = 8;

api! {
    fn cuModuleLoadData(out: *mut *mut c_void, image: *const c_void) {
        ready()?;
        // SAFETY: the caller's image.
        load(out, unsafe { text_of(image)? })
    }

    fn cuModuleLoadDataEx(
        out: *mut *mut c_void,
        image: *const c_void,
        n: c_uint,
        options: *mut c_uint,
        values: *mut *mut c_void,
    ) {
        ready()?;
        // SAFETY: the caller's image.
        load(out, unsafe { text_of(image)? })
    }

    fn cuModuleLoad(out: *mut *mut c_void, path: *const c_char) {
        ready()?;
        if path.is_null() {
            return Err(INVALID_VALUE);
        }
        // SAFETY: the caller's string.
        let path = unsafe { CStr::from_ptr(path) }.to_string_lossy().into_owned();
        match std::fs::read(&path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => load(out, text.trim_end_matches('\0')),
                Err(_) => wrong(INVALID_IMAGE, format!("{path} is no PTX: it is no text")),
            },
            Err(_) => Err(FILE_NOT_FOUND),
        }
    }

    fn cuModuleUnload(module: *mut c_void) {
        unload(module as usize)
    }

    fn cuModuleGetFunction(out: *mut *mut c_void, module: *mut c_void, name: *const c_char) {
        ready()?;
        if name.is_null() {
            return Err(INVALID_VALUE);
        }
        // SAFETY: the caller's string.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let modules = lock(&MODULES);
        let Some(m) = modules.get(&(module as usize)) else { return Err(INVALID_HANDLE) };
        let Some(f) = m.functions.get(name.as_ref()) else { return Err(NOT_FOUND) };
        // SAFETY: the caller's pointer.
        unsafe { give(out, *f as *mut c_void) }
    }

    fn cuModuleGetGlobal_v2(address: *mut u64, bytes: *mut usize, module: *mut c_void, name: *const c_char) {
        ready()?;
        if name.is_null() {
            return Err(INVALID_VALUE);
        }
        // SAFETY: the caller's string.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let modules = lock(&MODULES);
        let Some(m) = modules.get(&(module as usize)) else { return Err(INVALID_HANDLE) };
        let Some(g) = m.globals.get(name.as_ref()) else { return Err(NOT_FOUND) };
        // SAFETY: the caller's pointers, which may be null here.
        unsafe {
            if !address.is_null() {
                address.write(g.base);
            }
            if !bytes.is_null() {
                bytes.write(g.size as usize);
            }
        }
        Ok(())
    }

    fn cuFuncGetAttribute(value: *mut c_int, attribute: c_uint, f: *mut c_void) {
        ready()?;
        let f = function(f)?;
        let code = &f.code;
        let v = match attribute {
            // a thread's registers limit the block: assume a compiler that keeps within 255
            0 => code.max_threads.unwrap_or(1024).min(1024) as c_int,
            1 => code.shared_packed as c_int,
            2 => 0,
            3 => code.local_bytes as c_int,
            4 => code.registers.clamp(8, 255) as c_int,
            5 | 6 => config().sm as c_int,
            7 => 0,
            8 => f.max_dynamic.load(SeqCst),
            9 => f.carveout.load(SeqCst),
            10..=15 => 0,
            _ => return Err(INVALID_VALUE),
        };
        // SAFETY: the caller's pointer.
        unsafe { give(value, v) }
    }

    fn cuFuncSetAttribute(f: *mut c_void, attribute: c_uint, value: c_int) {
        ready()?;
        let f = function(f)?;
        match attribute {
            MAX_DYNAMIC => {
                let (limit, _) = device::shared_limits();
                if value < 0 || value as u32 + f.code.shared_packed > limit {
                    let text = format!(
                        "cuFuncSetAttribute: {value} bytes of dynamic and {} of static shared memory, a block may have {limit}",
                        f.code.shared_packed
                    );
                    return wrong(INVALID_VALUE, text);
                }
                f.max_dynamic.store(value, SeqCst);
            }
            9 => f.carveout.store(value, SeqCst),
            10..=15 => return Err(NOT_SUPPORTED),
            _ => return Err(INVALID_VALUE),
        }
        Ok(())
    }

    fn cuFuncSetCacheConfig(f: *mut c_void, config: c_uint) {
        function(f).map(|_| ())
    }

    fn cuFuncSetSharedMemConfig(f: *mut c_void, config: c_uint) {
        function(f).map(|_| ())
    }

    fn cuFuncGetModule(out: *mut *mut c_void, f: *mut c_void) {
        let f = function(f)?;
        // SAFETY: the caller's pointer.
        unsafe { give(out, f.module as *mut c_void) }
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        out: *mut c_int,
        f: *mut c_void,
        block: c_int,
        dynamic: usize,
        flags: c_uint,
    ) {
        let f = function(f)?;
        if !(1..=1024).contains(&block) {
            return Err(INVALID_VALUE);
        }
        let threads = (block as u32).next_multiple_of(32);
        let (limit, all) = device::shared_limits();
        let shared = f.code.shared_packed as usize + dynamic;
        let mut n = (device::threads_per_multiprocessor() / threads).min(device::blocks_per_multiprocessor());
        if shared > limit as usize {
            n = 0;
        } else {
            // the system keeps a kilobyte of each block
            n = n.min(all / (shared as u32 + 1024).max(1));
        }
        let registers = f.code.registers.clamp(16, 255).next_multiple_of(8);
        n = n.min(65536 / (registers * threads));
        // SAFETY: the caller's pointer.
        unsafe { give(out, n as c_int) }
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
        out: *mut c_int,
        f: *mut c_void,
        block: c_int,
        dynamic: usize,
    ) {
        // SAFETY: the same function without flags.
        match unsafe { cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(out, f, block, dynamic, 0) } {
            0 => Ok(()),
            e => Err(e),
        }
    }
}
