/*
 * Fields whose values are replaced. A value is filled with one byte, which also tells the size of the value: so half of
 * a value, or two halves of two values, are found.
 */
#include "check.h"

#include <pthread.h>
#include <shadow_fields.h>
#include <stdint.h>
#include <string.h>

enum { FIELD = 1, OTHER = 2, OBJECTS = 3, LARGEST = 1000, THREADS = 4 };

static int objects[OBJECTS];
static int rounds;
static int attached, freed, destroyed, read_values;

static size_t size_of(int byte)
{
	return 1 + (size_t)byte * 997 % LARGEST;
}

static void check_value(const unsigned char *value, size_t size)
{
	CHECK(value[0]);
	CHECK_IS(size_of(value[0]), size);
	for (size_t i = 1; i < size; i++)
		CHECK_IS(value[0], value[i]);
}

/* The destructor gets the value, of the value's size, and may write to it: no reader has the value any more. */
static void destroy(void *obj, void *data)
{
	unsigned char *value = data;

	CHECK((int *)obj >= objects && (int *)obj < objects + OBJECTS);
	check_value(value, size_of(value[0]));
	memset(value, 0xee, size_of(value[0]));
	__atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
}

static void destroy_each(void *obj, uint64_t id, void *data)
{
	CHECK_IS(FIELD, id);
	destroy(obj, data);
}

static void update(int *object, int byte)
{
	unsigned char value[LARGEST], old[LARGEST];
	int outcome;

	memset(value, byte, size_of(byte));
	memset(old, 0, sizeof(old));
	outcome = shadow_field_get_or_update(object, FIELD, value, size_of(byte), old);
	CHECK(outcome == 0 || outcome == 1);
	if (!outcome)
		__atomic_fetch_add(&attached, 1, __ATOMIC_RELAXED);
	else if (size_of(old[0]) <= size_of(byte))
		check_value(old, size_of(old[0]));
}

static void look(int *object)
{
	unsigned char value[LARGEST];
	ptrdiff_t size = shadow_field_read(object, FIELD, value, sizeof(value));

	if (size < 0)
		return;
	check_value(value, (size_t)size);
	__atomic_fetch_add(&read_values, 1, __ATOMIC_RELAXED);
}

static void end(int *object, unsigned choice)
{
	int count;

	if (choice % 3 == 0)
		count = shadow_field_free(object, FIELD, destroy);
	else if (choice % 3 == 1)
		count = (int)shadow_field_free_all(FIELD, destroy);
	else
		count = (int)shadow_field_free_object(object, destroy_each);
	__atomic_fetch_add(&freed, count, __ATOMIC_RELAXED);
}

/* A quarter of the steps are updates; one in a hundred ends fields. */
static void *work(void *seed)
{
	unsigned random = (unsigned)(uintptr_t)seed * 2654435761u + 1;

	for (int i = 0; i < rounds; i++) {
		int *object;

		random = random * 1664525u + 1013904223u;
		object = &objects[(random >> 8) % OBJECTS];
		if (random >> 16 < 0x10000 / 100)
			end(object, random >> 4);
		else if (random >> 30 == 3)
			update(object, 1 + (int)((random >> 12) % 255));
		else
			look(object);
	}
	return NULL;
}

static void values_are_whole_on_all_threads(void)
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, work, (void *)i));
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(threads[i], NULL));
	freed += (int)shadow_field_free_all(FIELD, destroy);
	CHECK_IS(attached, freed);
	CHECK_IS(attached, destroyed);
	CHECK(attached > rounds / 1000 && read_values > rounds / 10);
}

static int newest;

static void expect_newest(void *obj, void *data)
{
	CHECK_IS(newest, *(int *)data);
	newest = 0;
}

/* The sizes of `to` and of `old`, and of the value, may differ. */
static void one_thread(void)
{
	int *object = &objects[0];
	char text[8] = "", old[8] = "";

	CHECK_IS(-1, shadow_field_read(object, OTHER, text, sizeof(text)));
	CHECK_IS(0, shadow_field_get_or_update(object, OTHER, "abc", 4, old));
	CHECK_IS(0, old[0]);
	CHECK_IS(4, shadow_field_read(object, OTHER, NULL, 0));
	CHECK_IS(4, shadow_field_read(object, OTHER, text, 2));
	CHECK(!memcmp(text, "ab\0\0\0\0\0", 8));
	CHECK_IS(4, shadow_field_read(object, OTHER, text, sizeof(text)));
	CHECK(!strcmp(text, "abc"));
	CHECK_IS(1, shadow_field_get_or_update(object, OTHER, "defgh", 2, old));
	CHECK(!memcmp(old, "ab\0\0\0\0\0", 8));
	CHECK_IS(1, shadow_field_get_or_update(object, OTHER, NULL, 6, old));
	CHECK(!memcmp(old, "de\0\0\0\0\0", 8));
	CHECK_IS(6, shadow_field_read(object, OTHER, text, sizeof(text)));
	CHECK(!memcmp(text, "\0\0\0\0\0\0\0", 8));
	CHECK_IS(1, shadow_field_get_or_update(object, OTHER, "", 0, NULL));
	CHECK_IS(0, shadow_field_read(object, OTHER, text, sizeof(text)));
	for (newest = 1; newest < 100; newest++)
		CHECK_IS(1, shadow_field_get_or_update(object, OTHER, &newest, sizeof(newest), NULL));
	newest--;
	CHECK(shadow_field_free(object, OTHER, expect_newest));
	CHECK_IS(0, newest);
	CHECK(!shadow_field_free(object, OTHER, expect_newest));
	CHECK_IS(-1, shadow_field_read(object, OTHER, text, sizeof(text)));
}

int main(int argc, char **argv)
{
	rounds = part(argc, argv, 200000);
	one_thread();
	values_are_whole_on_all_threads();
	return 0;
}
