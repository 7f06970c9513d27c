/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a kernel must be built with for this module. Said here, in words, before the compiler
 * stumbles over it or a function is missing at load.
 */
#ifndef SNET_REQUIREMENTS_H
#define SNET_REQUIREMENTS_H

#ifndef CONFIG_INET
#error "snet needs a kernel with CONFIG_INET: there is nothing to mediate without it"
#endif
#ifndef CONFIG_SECURITY_NETWORK
#error "snet needs a kernel with CONFIG_SECURITY_NETWORK: its hooks are where security modules are asked"
#endif
#ifndef CONFIG_FUNCTION_TRACER
#error "snet needs a kernel with CONFIG_FUNCTION_TRACER: it attaches by ftrace"
#endif
#ifndef CONFIG_DYNAMIC_FTRACE
#error "snet needs a kernel with CONFIG_DYNAMIC_FTRACE: it attaches by ftrace to single functions"
#endif
#if !defined(CONFIG_DYNAMIC_FTRACE_WITH_REGS) && !defined(CONFIG_DYNAMIC_FTRACE_WITH_ARGS)
#error "snet needs CONFIG_DYNAMIC_FTRACE_WITH_REGS or _WITH_ARGS, which this architecture doesn't have"
#endif
#ifndef CONFIG_KPROBES
#error "snet needs a kernel with CONFIG_KPROBES: it finds functions that aren't exported by it"
#endif
#ifndef CONFIG_KALLSYMS
#error "snet needs a kernel with CONFIG_KALLSYMS: it attaches to functions by their names"
#endif
#ifndef CONFIG_TRACEPOINTS
#error "snet needs a kernel with CONFIG_TRACEPOINTS: it sees processes fork, execute and end by them"
#endif
#ifndef CONFIG_MODULE_UNLOAD
#error "snet needs a kernel with CONFIG_MODULE_UNLOAD: it must be removable at any moment"
#endif

#endif /* SNET_REQUIREMENTS_H */
