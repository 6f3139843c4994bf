/*
 * The story of the kernel's samples/livepatch/livepatch-shadow-{mod,fix1,fix2}.c, in code of its own:
 *
 *     cc -Ishadow-c/include shadow-c/examples/kernel_samples/{main,module,fix1,fix2}.c -lshadow_fields
 *
 * A module makes dummies, each with a buffer. The module loses the address of the buffer, so every buffer leaks. Two
 * fixes are loaded while dummies are alive. Fix 1 keeps the buffer of each new dummy in a field of the dummy; dummies
 * from before fix 1 have no field, and are tolerated. Fix 2 counts the checks of a dummy, new or old. The unload of a
 * fix ends the field of the fix for every dummy, and no other field. `examples/kernel_samples.rs` of the repository
 * tells the same in Rust.
 */
#include "fixes.h"

#include <shadow_fields.h>
#include <stdio.h>

static void run(int cycles)
{
	for (int i = 0; i < cycles; i++) {
		module_cycle();
		printf("%4lu  %6s  %7d  %7d  %6d  %19d\n", module_now(), module_newest(), module_dummies(),
		       buffers_in_use(), fix1_tolerated, fix2_checks_of_the_freed);
	}
}

int main(void)
{
	int forgotten;

	SHADOW_FIELD_DESCRIBE(SV_LEAK, "struct buffer *");
	SHADOW_FIELD_DESCRIBE(SV_COUNTER, "int");
	printf("tick  newest  dummies  buffers  leaked  checks of the freed\n");
	run(3);
	forgotten = buffers_in_use();

	module_patch(&fix1);
	run(3);
	module_patch(&fix2);
	run(3);

	module_unpatch();
	fix2_unload();
	printf("fix 2 is unloaded: %d counts end, and no buffer\n", fix2_counters_ended);
	run(1);

	module_unpatch();
	fix1_unload();
	printf("fix 1 is unloaded: %d buffers are given back\n", fix1_given_back);

	module_unload();
	printf("the module is unloaded: %d buffers have leaked before fix 1, and %d since\n", forgotten,
	       buffers_in_use() - forgotten);
	return 0;
}
