/*
 * The report, descriptions, and warnings. Without an argument of its own, the first warning goes to standard error.
 */
#include "check.h"

#include <shadow_fields.h>
#include <string.h>

enum { COUNTER = 4711, NAMELESS, LATE, UPDATED };

static int object;

/* The line of the report that has `part`, or "". */
static const char *line_with(const char *part)
{
	static char line[400];
	char *report = shadow_field_report();
	char *found, *start;

	CHECK(report);
	line[0] = 0;
	found = strstr(report, part);
	if (found) {
		for (start = found; start > report && start[-1] != '\n'; start--)
			;
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(start, "\n"), start);
	}
	shadow_field_string_free(report);
	return line;
}

static void descriptions(void)
{
	char place[300], temporary[] = "struct timer *";

	snprintf(place, sizeof(place), "%s:%d", __FILE__, __LINE__ + 1);
	CHECK_IS(0, SHADOW_FIELD_DESCRIBE(COUNTER, "unsigned long"));
	CHECK(shadow_field_alloc(&object, COUNTER, sizeof(long), NULL, NULL));
	CHECK(strstr(line_with("COUNTER"), "unsigned long"));
	CHECK(strstr(line_with("COUNTER"), place));

	/* After the first field, and with strings that end. */
	CHECK(shadow_field_alloc(&object, LATE, 1, NULL, NULL));
	CHECK_IS(0, shadow_field_describe(LATE, "late", temporary, "other/file.c", 99));
	memset(temporary, 'x', sizeof(temporary) - 1);
	CHECK(strstr(line_with("late"), "struct timer *"));
	CHECK(strstr(line_with("late"), "other/file.c:99"));
	CHECK_IS(0, shadow_field_describe(LATE, "newer", NULL, NULL, 0));
	CHECK(line_with("newer")[0] && !line_with("other/file.c")[0]);

	CHECK(shadow_field_alloc(&object, NAMELESS, 1, NULL, NULL));
	CHECK(line_with("4712")[0]);
	CHECK_IS(0, shadow_field_describe(NAMELESS, NULL, NULL, NULL, 0));
	CHECK_IS(0, shadow_field_describe(NAMELESS, "", "", "", 0));
	CHECK_IS(0, shadow_field_get_or_update(&object, UPDATED, "a", 1, NULL));
	CHECK(line_with("4714")[0]);
	shadow_field_string_free(NULL);
}

struct heard { int count; char text[300]; };

static void hear(const char *message, void *data)
{
	struct heard *heard = data;

	heard->count++;
	snprintf(heard->text, sizeof(heard->text), "%s", message);
	/* A warning runs under no lock. */
	CHECK(shadow_field_get(&object, COUNTER));
	CHECK(shadow_field_get_or_alloc(&object, COUNTER + 100, 1, NULL, NULL));
	shadow_field_on_warning(hear, data);
}

static void warnings(void)
{
	struct heard first = { 0, "" }, second = { 0, "" };
	char address[40], name[1000];

	/* To standard error, by default. */
	CHECK_FAILS(EEXIST, shadow_field_alloc(&object, COUNTER, 1, NULL, NULL));

	shadow_field_on_warning(hear, &first);
	CHECK_FAILS(EEXIST, shadow_field_alloc(&object, COUNTER, 1, NULL, NULL));
	CHECK_FAILS(EEXIST, shadow_field_attach(&object, COUNTER, "", 1));
	CHECK_IS(2, first.count);
	snprintf(address, sizeof(address), "%p", (void *)&object);
	CHECK(strstr(first.text, "duplicate") && strstr(first.text, address));
	CHECK(strstr(first.text, "0x1267") && strstr(first.text, "COUNTER"));

	shadow_field_on_warning(hear, &second);
	CHECK_FAILS(EEXIST, shadow_field_alloc(&object, LATE, 1, NULL, NULL));
	CHECK(first.count == 2 && second.count == 1 && strstr(second.text, "newer"));

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	CHECK_IS(0, shadow_field_describe(LATE, name, NULL, NULL, 0));
	CHECK_FAILS(EEXIST, shadow_field_alloc(&object, LATE, 1, NULL, NULL));
	CHECK(second.count == 2 && strstr(second.text, "nnnn"));

	/* No warning. Neither is there one for a field that is found. */
	shadow_field_on_warning(NULL, NULL);
	CHECK_FAILS(EEXIST, shadow_field_alloc(&object, COUNTER, 1, NULL, NULL));
	CHECK(shadow_field_get_or_alloc(&object, COUNTER, 1, NULL, NULL));
	CHECK(first.count == 2 && second.count == 2);
}

int main(void)
{
	descriptions();
	warnings();
	CHECK(shadow_field_free_object(&object, NULL) == 5);
	return 0;
}
