// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds out which program's tickets count for the calling process. Asked once for each
 * execution, and again when programs have come or tickets were flushed; a process's entry
 * remembers the answer.
 */
#include <linux/fs.h>
#include <linux/file.h>
#include <linux/user_namespace.h>

#include "compat.h"
#include "owner.h"
#include "request.h"
#include "ticket_table.h"

/*
 * The program's entry, if it has tickets; in another user namespace none count. @who has the
 * executable's inode, which is kept by the caller.
 */
static struct snet_program *program_of_locked(const struct snet_identity *who, bool known,
					      u64 device, u64 inode)
{
	if (!known || who->user_ns != &init_user_ns)
		return NULL;
	return snet_program_find_locked(device, inode);
}

/* A process that has nothing to remember gets no entry, and loses one of an earlier execution. */
static bool refresh_locked(const struct snet_identity *who, struct snet_program *program)
{
	struct snet_process *process = snet_process_match_locked(who);

	if (!process && program)
		process = snet_process_get_locked(who);
	if (!process) {
		process = snet_process_find(who->pid);
		if (process)
			snet_owner_doom_locked(&process->owner);
		return false;
	}
	snet_process_set_program_locked(process, program);
	smp_store_release(&process->stamp, snet_era + who->exec_id);
	if (program || process->owner.count)
		return true;
	snet_owner_settle_locked(&process->owner);
	return false;
}

static bool refresh(const struct snet_object *object, struct file *exe)
{
	struct snet_identity who;
	u64 device, inode;
	bool known, changed;

	snet_identity_fill(&who, object->net);
	who.exe = file_inode(exe);
	who.exe_inode = who.exe->i_ino;
	known = snet_exe_stat(exe, &device, &inode);
	spin_lock(&snet_ticket_lock);
	changed = refresh_locked(&who, program_of_locked(&who, known, device, inode));
	spin_unlock(&snet_ticket_lock);
	return changed;
}

/**
 * snet_program_refresh - bring the calling process's entry up to date
 * @object: the call
 *
 * Returns whether there is an entry, so that looking up again makes sense. May sleep.
 */
bool snet_program_refresh(const struct snet_object *object)
{
	struct file *exe;
	bool changed = false;

	snet_in_flight_begin();
	exe = compat_get_exe_file(current->mm);
	if (exe) {
		changed = refresh(object, exe);
		fput(exe);
	}
	snet_in_flight_end();
	return changed;
}
