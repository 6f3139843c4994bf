/*
 * Each errno that the header names, and what the header says of the bytes of a field: sizes, alignments, zeroes.
 */
#include "check.h"
#include "meeting.h"

#include <pthread.h>
#include <shadow_fields.h>
#include <stdint.h>
#include <string.h>

enum { PLAIN = 1, UPDATED, FREED, OWN, LEFT, RIGHT, REFUSED, SIZED, ALIGNED, DIRTY, HUGE_SIZE };

static int object;

/* Returns the number that `ctor_data` points to. */
static int result(void *obj, void *data, void *ctor_data)
{
	return *(int *)ctor_data;
}

static void duplicates(void)
{
	int value = 5;
	int *field = shadow_field_attach(&object, PLAIN, &value, sizeof(value));

	CHECK(field && *field == 5);
	value = 6;
	CHECK_FAILS(EEXIST, shadow_field_alloc(&object, PLAIN, sizeof(int), NULL, NULL));
	CHECK_FAILS(EEXIST, shadow_field_alloc_aligned(&object, PLAIN, sizeof(int), 64, NULL, NULL));
	CHECK_FAILS(EEXIST, shadow_field_attach(&object, PLAIN, &value, sizeof(value)));
	CHECK(shadow_field_get_or_attach(&object, PLAIN, &value, sizeof(value)) == field && *field == 5);
}

/* A field that is smaller than asked for: also when the number has fields of several sizes, and after a free. */
static void sizes_of_fields(void)
{
	int other = 0;
	char *field = shadow_field_get(&object, PLAIN);

	for (size_t size = 0; size <= sizeof(int); size++)
		CHECK(shadow_field_get_or_alloc(&object, PLAIN, size, NULL, NULL) == field);
	CHECK_FAILS(EMSGSIZE, shadow_field_get_or_alloc(&object, PLAIN, sizeof(int) + 1, NULL, NULL));
	CHECK_FAILS(EMSGSIZE, shadow_field_get_or_attach(&object, PLAIN, "123456789", 9));
	CHECK_FAILS(EMSGSIZE, shadow_field_get_or_alloc_aligned(&object, PLAIN, SIZE_MAX, 16, NULL, NULL));
	CHECK(shadow_field_alloc(&other, PLAIN, 1, NULL, NULL));
	CHECK_FAILS(EMSGSIZE, shadow_field_get_or_alloc(&other, PLAIN, 2, NULL, NULL));
	CHECK(shadow_field_get_or_alloc(&object, PLAIN, sizeof(int), NULL, NULL) == field);
	CHECK_FAILS(EMSGSIZE, shadow_field_get_or_alloc(&object, PLAIN, sizeof(int) + 1, NULL, NULL));
	CHECK(shadow_field_free(&other, PLAIN, NULL));
	CHECK(shadow_field_alloc(&other, PLAIN, 100, NULL, NULL));
	CHECK(shadow_field_get_or_alloc(&other, PLAIN, 100, NULL, NULL));
	CHECK_IS(2, shadow_field_free_all(PLAIN, NULL));
}

static void no_memory(void)
{
	const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 31, PTRDIFF_MAX, PTRDIFF_MAX - 100, (size_t)PTRDIFF_MAX / 2 };
	char old;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		CHECK_FAILS(ENOMEM, shadow_field_alloc(&object, HUGE_SIZE, sizes[i], NULL, NULL));
		CHECK_FAILS(ENOMEM, shadow_field_get_or_alloc(&object, HUGE_SIZE, sizes[i], NULL, NULL));
		CHECK_FAILS(ENOMEM, shadow_field_alloc_aligned(&object, HUGE_SIZE, sizes[i], 4096, NULL, NULL));
		CHECK_FAILS(ENOMEM, shadow_field_get_or_attach(&object, HUGE_SIZE, NULL, sizes[i]));
		CHECK_FAILS(ENOMEM, shadow_field_get_or_update(&object, HUGE_SIZE, NULL, sizes[i], &old) + 1);
		CHECK(!shadow_field_get(&object, HUGE_SIZE));
	}
	CHECK_FAILS(ENOMEM, shadow_field_alloc_aligned(&object, HUGE_SIZE, 1, SIZE_MAX / 2 + 1, NULL, NULL));
	CHECK(shadow_field_alloc(&object, HUGE_SIZE, 1, NULL, NULL));
	CHECK(shadow_field_free(&object, HUGE_SIZE, NULL));
}

static void bad_alignments(void)
{
	const size_t aligns[] = { 0, 3, 6, 24, 4095, SIZE_MAX };

	CHECK(shadow_field_alloc(&object, PLAIN, 8, NULL, NULL));
	for (size_t i = 0; i < sizeof(aligns) / sizeof(*aligns); i++) {
		CHECK_FAILS(EINVAL, shadow_field_alloc_aligned(&object, ALIGNED, 8, aligns[i], NULL, NULL));
		CHECK_FAILS(EINVAL, shadow_field_get_or_alloc_aligned(&object, ALIGNED, 8, aligns[i], NULL, NULL));
		CHECK_FAILS(EINVAL, shadow_field_get_or_alloc_aligned(&object, PLAIN, 8, aligns[i], NULL, NULL));
		CHECK(!shadow_field_get(&object, ALIGNED));
	}
	CHECK(shadow_field_free(&object, PLAIN, NULL));
}

/* A number of the one sort of field is refused by each function of the other sort. The ends know both sorts. */
static void sorts_of_fields(void)
{
	int value = 7, old = 0;

	CHECK(shadow_field_alloc(&object, PLAIN, sizeof(int), NULL, NULL));
	CHECK_FAILS(EPROTOTYPE, shadow_field_get_or_update(&object, PLAIN, &value, sizeof(value), &old) + 1);
	CHECK_FAILS(EPROTOTYPE, shadow_field_read(&object, PLAIN, &old, sizeof(old)) + 1);
	CHECK_IS(0, old);
	CHECK(shadow_field_free(&object, PLAIN, NULL));
	/* A number keeps its sort. */
	CHECK_FAILS(EPROTOTYPE, shadow_field_get_or_update(&object, PLAIN, &value, sizeof(value), &old) + 1);

	CHECK_IS(0, shadow_field_get_or_update(&object, UPDATED, &value, sizeof(value), NULL));
	CHECK_FAILS(EPROTOTYPE, shadow_field_get(&object, UPDATED));
	CHECK_FAILS(EPROTOTYPE, shadow_field_alloc(&object, UPDATED, 4, NULL, NULL));
	CHECK_FAILS(EPROTOTYPE, shadow_field_attach(&object, UPDATED, &value, 4));
	CHECK_FAILS(EPROTOTYPE, shadow_field_get_or_alloc(&object, UPDATED, 4, NULL, NULL));
	CHECK_FAILS(EPROTOTYPE, shadow_field_get_or_alloc_aligned(&object, UPDATED, 4, 4, NULL, NULL));
	CHECK_FAILS(EPROTOTYPE, shadow_field_get_or_attach(&object, UPDATED, &value, 4));
	CHECK_IS(sizeof(value), shadow_field_read(&object, UPDATED, &old, sizeof(old)));
	CHECK_IS(7, old);
	CHECK(shadow_field_free(&object, UPDATED, NULL));
}

static void refusals(void)
{
	const int results[] = { 1, -1, EAGAIN, -EAGAIN, 123456, -123456, EEXIST, -EDEADLK, INT32_MAX, -INT32_MAX };

	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++) {
		int error = results[i];

		CHECK_FAILS(abs(error), shadow_field_alloc(&object, REFUSED, 8, result, &error));
		CHECK_FAILS(abs(error), shadow_field_get_or_alloc(&object, REFUSED, 8, result, &error));
		CHECK(!shadow_field_get(&object, REFUSED));
	}
	CHECK_IS(0, shadow_field_free_all(REFUSED, NULL));
}

/* Asks for the field that it constructs, and returns 0, if `ctor_data` is NULL, or the errno. */
static int own_field(void *obj, void *data, void *ctor_data)
{
	CHECK_FAILS(EDEADLK, shadow_field_get_or_alloc(obj, OWN, 8, NULL, NULL));
	CHECK_FAILS(EDEADLK, shadow_field_alloc(obj, OWN, 8, NULL, NULL));
	CHECK_FAILS(EDEADLK, shadow_field_attach(obj, OWN, "", 1));
	CHECK(!shadow_field_get(obj, OWN));
	CHECK(!shadow_field_free(obj, OWN, NULL));
	/* Other fields, and other objects, are no circle. */
	CHECK(shadow_field_get_or_alloc(obj, OWN + 1000, 8, NULL, NULL));
	CHECK(shadow_field_get_or_alloc(data, OWN, 8, NULL, NULL));
	CHECK(shadow_field_free(obj, OWN + 1000, NULL) && shadow_field_free(data, OWN, NULL));
	return ctor_data ? errno : 0;
}

static void own_fields(void)
{
	CHECK_FAILS(EDEADLK, shadow_field_alloc(&object, OWN, 8, own_field, &object));
	CHECK_FAILS(EDEADLK, shadow_field_get_or_alloc(&object, OWN, 8, own_field, &object));
	CHECK(shadow_field_get_or_alloc(&object, OWN, 8, own_field, NULL));
	CHECK(shadow_field_free(&object, OWN, NULL));
}

static struct meeting both = MEETING(2);
static int circles;

/* Runs while the other thread constructs `*ctor_data`, and asks for that field. */
static int other_field(void *obj, void *data, void *ctor_data)
{
	int wanted = *(int *)ctor_data;
	void *field;

	meet(&both);
	errno = 0;
	field = shadow_field_get_or_alloc(obj, wanted, 8, NULL, NULL);
	if (field)
		return 0;
	CHECK_IS(EDEADLK, errno);
	__atomic_fetch_add(&circles, 1, __ATOMIC_RELAXED);
	return -EDEADLK;
}

static void *left(void *unused)
{
	int wanted = RIGHT;
	void *field = shadow_field_alloc(&object, LEFT, 8, other_field, &wanted);

	CHECK(field || errno == EDEADLK);
	return field;
}

/* Two constructors that wait for each other: one is told, and refuses; so the other one gets the field. */
static void circle_of_threads(void)
{
	for (int i = 0; i < 100; i++) {
		int wanted = LEFT;
		pthread_t thread;
		void *mine, *others;

		circles = 0;
		CHECK(!pthread_create(&thread, NULL, left, NULL));
		mine = shadow_field_get_or_alloc(&object, RIGHT, 8, other_field, &wanted);
		CHECK(mine || errno == EDEADLK);
		CHECK(!pthread_join(thread, &others));
		CHECK_IS(1, circles);
		CHECK(!mine != !others);
		/* The thread that went on has attached its own field, and the refused one. */
		CHECK_IS(2, shadow_field_free_object(&object, NULL));
	}
}

static int is_filled_with(const unsigned char *bytes, int byte, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != byte)
			return 0;
	return 1;
}

static void sizes_and_alignments(void)
{
	const size_t sizes[] = { 0, 1, 16, 4096, 1 << 20 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (size_t align = 1; align <= 4096; align *= 2) {
			size_t size = sizes[i];
			unsigned char *field = shadow_field_alloc_aligned(&object, SIZED, size, align, NULL, NULL);

			CHECK(field && shadow_field_get(&object, SIZED) == field);
			CHECK_IS(0, (uintptr_t)field % align);
			CHECK_IS(0, (uintptr_t)field % _Alignof(max_align_t));
			CHECK(is_filled_with(field, 0, size));
			memset(field, 0xa5, size);
			CHECK(shadow_field_get_or_alloc_aligned(&object, SIZED, size, align, NULL, NULL) == field);
			CHECK(is_filled_with(field, 0xa5, size));
			CHECK(shadow_field_free(&object, SIZED, NULL));
		}
	}
}

/* Memory that was used before comes zeroed, too. */
static void reused_memory(void)
{
	enum { FIELDS = 200, SIZE = 200 };
	static int objects[FIELDS];

	for (int round = 0; round < 20; round++) {
		size_t align = round % 2 ? 16 : 128;

		for (int i = 0; i < FIELDS; i++) {
			unsigned char *field = shadow_field_alloc_aligned(&objects[i], DIRTY, SIZE, align, NULL, NULL);

			CHECK(field && is_filled_with(field, 0, SIZE));
			memset(field, 0xff, SIZE);
		}
		CHECK_IS(FIELDS, shadow_field_free_all(DIRTY, NULL));
	}
}

static void success_leaves_errno(void)
{
	void *field;

	errno = 4321;
	CHECK(!shadow_field_get(&object, FREED));
	field = shadow_field_alloc(&object, FREED, 8, NULL, NULL);
	errno = 4321;
	CHECK(shadow_field_get(&object, FREED) == field);
	CHECK(shadow_field_get_or_alloc(&object, FREED, 8, NULL, NULL) == field);
	CHECK_IS(-1, shadow_field_read(&object, FREED + 1000, NULL, 0));
	CHECK(shadow_field_free(&object, FREED, NULL));
	CHECK(!shadow_field_free(&object, FREED, NULL));
	CHECK_IS(0, shadow_field_free_all(FREED, NULL));
	CHECK_IS(0, shadow_field_free_object(&object, NULL));
	CHECK(!shadow_field_get(&object, FREED));
	CHECK_IS(4321, errno);
}

int main(void)
{
	shadow_field_on_warning(NULL, NULL);
	duplicates();
	sizes_of_fields();
	no_memory();
	bad_alignments();
	sorts_of_fields();
	refusals();
	own_fields();
	circle_of_threads();
	sizes_and_alignments();
	reused_memory();
	success_leaves_errno();
	return 0;
}
