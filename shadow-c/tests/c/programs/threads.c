/*
 * Races of all functions, on objects that threads share, and on objects of one thread each. Each constructor has one
 * destructor at most, and exactly one if all fields have ended. The addresses of fields are constant.
 *
 * The program touches the bytes of a field in callbacks, and where no thread frees the field: so a data race that the
 * thread sanitizer reports, in a build of `.ci/sanitize`, is one of the library.
 */
#include "check.h"
#include "meeting.h"

#include <pthread.h>
#include <shadow_fields.h>
#include <stdint.h>
#include <string.h>

enum { THREADS = 4, OBJECTS = 8, FIELDS = 3, LIVE = 0x11fe, DEAD = 0xdead };

struct object { int number; };
struct state { void *obj; int life; };

static struct object objects[OBJECTS];
static struct meeting all_threads = MEETING(THREADS);
static int rounds;
static int constructed, destroyed, freed;

static int add(int *counter, int count)
{
	return __atomic_fetch_add(counter, count, __ATOMIC_RELAXED);
}

static int construct(void *obj, void *data, void *ctor_data)
{
	struct state *state = data;

	CHECK(!state->obj && !state->life);
	state->obj = obj;
	state->life = LIVE;
	add(&constructed, 1);
	return 0;
}

static int refuse(void *obj, void *data, void *ctor_data)
{
	((struct state *)data)->life = DEAD;
	return -EAGAIN;
}

static void destroy(void *obj, void *data)
{
	struct state *state = data;

	CHECK_IS(LIVE, state->life);
	CHECK(state->obj == obj);
	state->life = DEAD;
	add(&destroyed, 1);
}

static void destroy_each(void *obj, uint64_t id, void *data)
{
	destroy(obj, data);
}

/* Runs `work` on all threads, and returns with zeroed counters if each constructed field was destroyed. */
static void on_threads(void *(*work)(void *), int fields)
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, work, (void *)i));
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(threads[i], NULL));
	for (int id = 0; id < fields; id++)
		add(&freed, (int)shadow_field_free_all((uint64_t)id, destroy));
	CHECK(constructed > 0);
	CHECK_IS(constructed, destroyed);
	CHECK_IS(constructed, freed);
	constructed = destroyed = freed = 0;
}

static void *found[THREADS][OBJECTS];

/* All threads attach the same fields at once: one constructor runs, and all get one address, with the bytes filled. */
static void *race_to_attach(void *thread)
{
	uintptr_t me = (uintptr_t)thread;

	for (int round = 0; round < rounds / 20 + 1; round++) {
		meet(&all_threads);
		for (int i = 0; i < OBJECTS; i++) {
			struct state *state = shadow_field_get_or_alloc(&objects[i], 0, sizeof(*state), construct, NULL);

			CHECK(state && state->life == LIVE && state->obj == &objects[i]);
			found[me][i] = state;
		}
		meet(&all_threads);
		for (int i = 0; i < OBJECTS; i++) {
			CHECK(found[me][i] == found[0][i]);
			CHECK(found[me][i] == shadow_field_get(&objects[i], 0));
		}
		CHECK_IS((round + 1) * OBJECTS, __atomic_load_n(&constructed, __ATOMIC_RELAXED));
		meet(&all_threads);
		/* All threads end the fields, in all ways: each field ends once. */
		for (int i = 0; i < OBJECTS; i++) {
			struct object *object = &objects[i];

			if ((me + (uintptr_t)round) % 3 == 0)
				add(&freed, shadow_field_free(object, 0, destroy));
			else if ((me + (uintptr_t)round) % 3 == 1)
				add(&freed, (int)shadow_field_free_object(object, destroy_each));
			else
				add(&freed, (int)shadow_field_free_all(0, destroy));
			/* Another thread detaches the field first, and then calls the destructor. */
			CHECK(!shadow_field_get(object, 0));
		}
	}
	return NULL;
}

/* Of racing `alloc`s, one attaches. */
static void *race_to_alloc(void *thread)
{
	for (int round = 0; round < rounds / 20 + 1; round++) {
		meet(&all_threads);
		for (int i = 0; i < OBJECTS; i++) {
			struct state *state = shadow_field_alloc(&objects[i], 0, sizeof(*state), construct, NULL);

			CHECK(state ? state->life == LIVE : errno == EEXIST);
			CHECK(shadow_field_get(&objects[i], 0));
		}
		meet(&all_threads);
		CHECK_IS((round + 1) * OBJECTS, __atomic_load_n(&constructed, __ATOMIC_RELAXED));
		meet(&all_threads);
		if ((uintptr_t)thread == 0)
			add(&freed, (int)shadow_field_free_all(0, destroy));
	}
	return NULL;
}

static unsigned next(unsigned *random)
{
	*random = *random * 1664525u + 1013904223u;
	return *random >> 8;
}

/*
 * Everything at once, without a look at the bytes. `free_object` and `free_all` may miss a field that another thread is
 * attaching.
 */
static void *churn(void *thread)
{
	unsigned random = (unsigned)(uintptr_t)thread + 1;

	for (int i = 0; i < rounds * 20; i++) {
		struct object *object = &objects[next(&random) % OBJECTS];
		uint64_t id = next(&random) % FIELDS;
		unsigned choice = next(&random) % 100;

		if (choice < 40)
			(void)shadow_field_get(object, id);
		else if (choice < 60)
			CHECK(shadow_field_get_or_alloc(object, id, sizeof(struct state), construct, NULL));
		else if (choice < 75)
			CHECK(shadow_field_alloc(object, id, sizeof(struct state), construct, NULL) || errno == EEXIST);
		else if (choice < 80)
			CHECK(shadow_field_get_or_alloc(object, id, sizeof(struct state), refuse, NULL)
			      || errno == EAGAIN);
		else if (choice < 97)
			add(&freed, shadow_field_free(object, id, destroy));
		else if (choice < 98)
			add(&freed, (int)shadow_field_free_object(object, destroy_each));
		else
			add(&freed, (int)shadow_field_free_all(id, destroy));
	}
	return NULL;
}

/* A thread's own objects: the addresses come again, on this thread and on others, and no field does. */
static void *own_objects(void *thread)
{
	unsigned random = (unsigned)(uintptr_t)thread + 1;

	for (int i = 0; i < rounds * 2; i++) {
		struct object *object = malloc(sizeof(*object));
		struct state *states[FIELDS];
		uint64_t newest = 0;
		uint64_t value = next(&random);

		CHECK(object);
		for (uint64_t id = 0; id < FIELDS; id++) {
			CHECK(!shadow_field_get(object, id));
			states[id] = shadow_field_alloc(object, id, sizeof(struct state), construct, NULL);
			CHECK(states[id]);
		}
		CHECK_IS(-1, shadow_field_read(object, FIELDS, &newest, sizeof(newest)));
		CHECK_IS(0, shadow_field_get_or_update(object, FIELDS, &value, sizeof(value), NULL));
		for (uint64_t id = 0; id < FIELDS; id++) {
			CHECK(shadow_field_get(object, id) == states[id]);
			CHECK(shadow_field_get_or_alloc(object, id, sizeof(struct state), refuse, NULL) == states[id]);
			CHECK(states[id]->obj == object && states[id]->life == LIVE);
		}
		CHECK_IS(sizeof(value), shadow_field_read(object, FIELDS, &newest, sizeof(newest)));
		CHECK_IS(value, newest);
		CHECK(shadow_field_free(object, FIELDS, NULL));
		if (next(&random) % 2)
			add(&freed, shadow_field_free(object, next(&random) % FIELDS, destroy));
		add(&freed, (int)shadow_field_free_object(object, destroy_each));
		free(object);
	}
	return NULL;
}

static int stop;

/* Thread 0 attaches and frees a field; the other threads look the field up, and must not crash. */
static void *get_beside_free(void *thread)
{
	uintptr_t me = (uintptr_t)thread;

	meet(&all_threads);
	if (me == 0) {
		for (int i = 0; i < rounds * 40; i++) {
			/* Two sizes: the lookups of `get_or_alloc` then look at the field's size. */
			size_t size = sizeof(struct state) << (i % 2);

			CHECK(shadow_field_get_or_alloc(&objects[0], 0, size, construct, NULL) || errno == EMSGSIZE);
			add(&freed, shadow_field_free(&objects[0], 0, destroy));
		}
		__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	/* At least once: thread 0 may end before another thread runs. */
	do {
		if (me == 1)
			CHECK(shadow_field_get_or_alloc(&objects[0], 0, sizeof(struct state), construct, NULL));
		else
			(void)shadow_field_get(&objects[0], 0);
	} while (!__atomic_load_n(&stop, __ATOMIC_RELAXED));
	return NULL;
}

enum { PAGE = 4096, NEIGHBOURS = 64 };

/* The first half of the objects has fields at addresses of pages, and the second half has not. */
static struct object neighbours[NEIGHBOURS];

static int refuse_a_page(void *obj, void *data, void *ctor_data)
{
	return (uintptr_t)data % PAGE ? construct(obj, data, ctor_data) : -EAGAIN;
}

static int changing;

/*
 * Two threads attach and free the fields of different objects, which reuse the places of one another in the library's
 * table. The other threads look the fields up, and find no field of another object. Without the second load of the move
 * counter (T8 of the library's table), a lookup may find one, once in some seconds: the argument 1000 runs for so long.
 */
static void *neighbours_come_and_go(void *thread)
{
	uintptr_t me = (uintptr_t)thread;
	unsigned random = (unsigned)me + 1;

	if (me < 2)
		__atomic_fetch_add(&changing, 1, __ATOMIC_RELAXED);
	meet(&all_threads);
	for (int i = 0; me < 2 && i < rounds * 30; i++) {
		int number = (int)(next(&random) % NEIGHBOURS);
		struct object *object = &neighbours[number];

		if (shadow_field_free(object, 0, destroy))
			add(&freed, 1);
		else if (number < NEIGHBOURS / 2)
			(void)shadow_field_alloc_aligned(object, 0, sizeof(struct state), PAGE, construct, NULL);
		else
			(void)shadow_field_alloc(object, 0, sizeof(struct state), refuse_a_page, NULL);
	}
	if (me < 2)
		__atomic_fetch_sub(&changing, 1, __ATOMIC_RELAXED);
	while (me >= 2 && __atomic_load_n(&changing, __ATOMIC_RELAXED)) {
		for (int number = 0; number < NEIGHBOURS; number++) {
			void *field = shadow_field_get(&neighbours[number], 0);

			CHECK(!field || ((uintptr_t)field % PAGE == 0) == (number < NEIGHBOURS / 2));
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	rounds = part(argc, argv, 2000);
	shadow_field_on_warning(NULL, NULL);
	for (int i = 0; i < OBJECTS; i++)
		objects[i].number = i;
	on_threads(race_to_attach, 1);
	on_threads(race_to_alloc, 1);
	on_threads(churn, FIELDS);
	on_threads(own_objects, FIELDS);
	on_threads(get_beside_free, 1);
	on_threads(neighbours_come_and_go, 1);
	return 0;
}
