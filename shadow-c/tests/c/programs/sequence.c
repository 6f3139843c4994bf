/*
 * The sequence of calls of the kernel's own test of shadow variables: lookups of nothing, attaches with constructors,
 * attaches of fields that are there, frees one by one and of all objects at once. By the native names, or, with
 * KERNEL_NAMES, by the kernel's.
 *
 * Several objects have two fields each. A field is a pointer to memory of its own, which the destructor frees, so a
 * destructor that does not run is a leak, and one that runs twice is a double free.
 */
#include "check.h"

#include <string.h>

#ifdef KERNEL_NAMES
#include <klp_shadow.h>
#define GFP_KERNEL 0xcc0u
#define get(obj, id) klp_shadow_get(obj, id)
#define alloc(obj, id, ctor, data) klp_shadow_alloc(obj, id, sizeof(struct note), GFP_KERNEL, ctor, data)
#define get_or_alloc(obj, id, ctor, data) klp_shadow_get_or_alloc(obj, id, sizeof(struct note), GFP_KERNEL, ctor, data)
#define free_one(obj, id, dtor) klp_shadow_free(obj, id, dtor)
#define free_all(id, dtor) klp_shadow_free_all(id, dtor)
#else
#include <shadow_fields.h>
#define get(obj, id) shadow_field_get(obj, id)
#define alloc(obj, id, ctor, data) shadow_field_alloc(obj, id, sizeof(struct note), ctor, data)
#define get_or_alloc(obj, id, ctor, data) shadow_field_get_or_alloc(obj, id, sizeof(struct note), ctor, data)
#define free_one(obj, id, dtor) CHECK(shadow_field_free(obj, id, dtor))
#define free_all(id, dtor) CHECK_IS(OBJECTS, shadow_field_free_all(id, dtor))
#endif

enum { OBJECTS = 7, FIRST = 0x1234, SECOND = 0x1235, REFUSED = 3 };

struct object { int number; };
struct note { char *text; };

static struct object objects[OBJECTS];
static int constructed, refused, destroyed;

static int construct(void *obj, void *data, void *ctor_data)
{
	struct object *object = obj;
	struct note *note = data;
	const char *text = ctor_data;

	CHECK(!note->text);
	CHECK(!get(obj, FIRST) || !get(obj, SECOND));
	if (!text)
		return refused++, -EINVAL;
	note->text = malloc(strlen(text) + 16);
	CHECK(note->text);
	sprintf(note->text, "%s %d", text, object->number);
	constructed++;
	return 0;
}

static int never(void *obj, void *data, void *ctor_data)
{
	CHECK(!"a constructor runs for a field that is there");
	return 0;
}

static void destroy(void *obj, void *data)
{
	struct note *note = data;
	int number;

	CHECK_IS(1, sscanf(note->text, "note %d", &number) == 1 || sscanf(note->text, "other %d", &number) == 1);
	CHECK_IS(((struct object *)obj)->number, number);
	free(note->text);
	destroyed++;
}

static void attach_first(void)
{
	char text[] = "note";

	for (int i = 0; i < OBJECTS; i++) {
		struct object *object = &objects[i];
		struct note *note;

		object->number = i;
		CHECK(!get(object, FIRST));
		if (i == REFUSED) {
			CHECK_FAILS(EINVAL, alloc(object, FIRST, construct, NULL));
			CHECK(!get(object, FIRST));
			continue;
		}
		note = i % 2 ? alloc(object, FIRST, construct, text) : get_or_alloc(object, FIRST, construct, text);
		CHECK(note && note == get(object, FIRST) && note->text);
	}
	printf("first field: %d constructed, %d refused\n", constructed, refused);
}

static void attach_second(void)
{
	char text[] = "other";

	constructed = 0;
	for (int i = 0; i < OBJECTS; i++) {
		struct note *note = get_or_alloc(&objects[i], SECOND, construct, text);

		CHECK(note && note == get(&objects[i], SECOND));
		CHECK(note != get(&objects[i], FIRST));
		CHECK(note == get_or_alloc(&objects[i], SECOND, never, text));
		CHECK_FAILS(EEXIST, alloc(&objects[i], SECOND, never, text));
		CHECK(note == get(&objects[i], SECOND) && !strncmp(note->text, "other ", 6));
	}
	printf("second field: %d constructed\n", constructed);
}

static void free_first(void)
{
	for (int i = 0; i < OBJECTS; i++) {
		if (i == REFUSED)
			continue;
		free_one(&objects[i], FIRST, destroy);
		CHECK(!get(&objects[i], FIRST));
		CHECK(get(&objects[i], SECOND));
	}
	printf("first field: %d destroyed, one by one\n", destroyed);
}

static void free_second(void)
{
	destroyed = 0;
	free_all(SECOND, destroy);
	for (int i = 0; i < OBJECTS; i++)
		CHECK(!get(&objects[i], FIRST) && !get(&objects[i], SECOND));
	printf("second field: %d freed at once\n", destroyed);
}

int main(void)
{
	shadow_field_on_warning(NULL, NULL);
	attach_first();
	attach_second();
	free_first();
	free_second();
	/* A field that was freed may come again. */
	CHECK(alloc(&objects[0], FIRST, NULL, NULL) && get(&objects[0], FIRST));
#ifdef KERNEL_NAMES
	klp_shadow_free(&objects[0], FIRST, NULL);
	klp_shadow_free(&objects[0], FIRST, destroy);
#else
	CHECK(shadow_field_free(&objects[0], FIRST, NULL));
	CHECK(!shadow_field_free(&objects[0], FIRST, destroy));
	CHECK_IS(0, shadow_field_free_all(SECOND, destroy));
#endif
	return 0;
}
